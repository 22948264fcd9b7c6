"""Why a server cannot be had. Each error says what to do next, and has a code that never changes.

ServerError
├── BinaryNotFound    SERVER_NOT_FOUND      no nats-server on this machine
├── BinaryUnusable    SERVER_UNUSABLE       it is there, and cannot be executed
├── BinaryTooOld      SERVER_TOO_OLD        it lacks what jetfleet is built on
├── DataInUse         DATA_IN_USE           another process has the folder
├── DataNotWritable   DATA_NOT_WRITABLE     the folder cannot be made, or not written to
├── DiskTooSmall      DISK_TOO_SMALL        there is no room for a deployment
├── TooFewFiles       TOO_FEW_FILES         the limit on open files is below what the store needs
├── PortInUse         PORT_IN_USE           something else listens there
├── ServerDiffers     SERVER_DIFFERS        it runs with other limits than it was told
└── ServerFailed      SERVER_FAILED         it did not start, or died too often; with its last words
"""

from __future__ import annotations

from ...schemas.errors import JetfleetError


class ServerError(JetfleetError):
    """The embedded server cannot be started or kept running."""

    code = "SERVER"


class BinaryNotFound(ServerError):
    code = "SERVER_NOT_FOUND"


class BinaryUnusable(ServerError):
    code = "SERVER_UNUSABLE"


class BinaryTooOld(ServerError):
    code = "SERVER_TOO_OLD"


class DataInUse(ServerError):
    """`pid` is the process that holds the folder, None if it did not say."""

    code = "DATA_IN_USE"

    def __init__(self, message: str, pid: int | None) -> None:
        super().__init__(message)
        self.pid = pid


class DataNotWritable(ServerError):
    code = "DATA_NOT_WRITABLE"


class DiskTooSmall(ServerError):
    code = "DISK_TOO_SMALL"


class TooFewFiles(ServerError):
    code = "TOO_FEW_FILES"


class PortInUse(ServerError):
    code = "PORT_IN_USE"


class ServerDiffers(ServerError):
    code = "SERVER_DIFFERS"


class ServerFailed(ServerError):
    """`last_lines` are the last lines of the server's log, oldest first."""

    code = "SERVER_FAILED"

    def __init__(self, message: str, last_lines: tuple[str, ...] = ()) -> None:
        said = "".join(f"\n    {line}" for line in last_lines)
        super().__init__(f"{message}; its last words:{said}" if said else message)
        self.last_lines = last_lines
