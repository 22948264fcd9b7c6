"""The `jetfleet` command: it collects the commands of all packages and turns what goes wrong into one line and an exit code.

Commands are found by the entry point group `jetfleet.commands`; each entry point names a `commands: Mapping[str, str]`, from the name of
a command to `module:attribute`. So a package brings its own commands, this module imports none of them, and one that is not asked for is
not loaded.

    0    done                                     5    a flow is not valid
    1    refused or failed, the message says why  70   a defect of jetfleet
    2    the call makes no sense as made          130  interrupted

Guarantees: an error is `error: CODE message` on standard error; no traceback unless JETFLEET_DEBUG=1 asks for it.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points

import click

from .errors import InvalidFlow, JetfleetError, UsageError

GROUP = "jetfleet.commands"
OWN = ("schemas", "broker", "workers", "triggers")
"""Our packages from the lightest to the heaviest: `validate` must not wait for what runs nodes. Plug-ins come after."""

FAILED, USAGE, INVALID, INTERNAL, INTERRUPTED = 1, 2, 5, 70, 130


class CommandGroup(click.Group):
    """A group whose commands come from entry points: their names are read in order until one is found, and only that one is imported."""

    def __init__(self, pending: Sequence[EntryPoint] | None = None, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._pending = list(pending) if pending is not None else None
        self._places: dict[str, str] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        while self._read_next():
            pass
        return sorted({*super().list_commands(ctx), *self._places})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        while cmd_name not in self.commands and cmd_name not in self._places and self._read_next():
            pass
        if cmd_name not in self.commands:
            # Where there is none, those that resemble it are loaded: click suggests from what is.
            for name in (cmd_name,) if cmd_name in self._places else get_close_matches(cmd_name, self._places):
                self._load(name, self._places.pop(name))
        return super().get_command(ctx, cmd_name)

    def _read_next(self) -> bool:
        """Read what one more entry point has; False when there is none left."""
        if self._pending is None:
            self._pending = sorted(entry_points(group=GROUP), key=_weight)
        if not self._pending:
            return False
        entry_point = self._pending.pop(0)
        try:
            places: Mapping[str, str] = entry_point.load()
            for name, place in places.items():
                self._places.setdefault(name, place)
        except Exception as error:
            _not_loaded(f"the commands of {entry_point.name!r} ({entry_point.value})", error)
        return True

    def _load(self, name: str, place: str) -> None:
        try:
            self.add_command(EntryPoint(name, place, GROUP).load(), name)
        except Exception as error:
            _not_loaded(f"the command {name!r} ({place})", error)


def _not_loaded(what: str, error: Exception) -> None:
    """One broken plug-in must not take every other command with it."""
    _trace_if_asked()
    _say(f"warning: COMMANDS {what} cannot be loaded: {_one_line(error)}")


def _weight(entry_point: EntryPoint) -> tuple[int, str]:
    return (OWN.index(entry_point.name) if entry_point.name in OWN else len(OWN), entry_point.name)


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="jetfleet", message="%(prog)s %(version)s")
def jetfleet() -> None:
    """Durable workflows on a fleet of stateless workers."""


def main(args: Sequence[str] | None = None, group: click.Group = jetfleet) -> int:
    """Run the command line `args` (default: the process's own) and return its exit code."""
    _open_closed_streams()
    try:
        code = _run(args, group)
        sys.stdout.flush()
    except BrokenPipeError:
        code = _nowhere_to_write()
    except OSError as error:
        _say(f"error: OUTPUT cannot write the output: {error.strerror or error}")
        code = _nowhere_to_write()
    return code


def _run(args: Sequence[str] | None, group: click.Group) -> int:
    try:
        result = group.main(args=args, prog_name="jetfleet", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.ClickException as error:
        return _report_usage(error)
    except JetfleetError as error:
        return _report(error)
    except OSError as error:
        if _is_of_output(error):
            raise
        if error.errno in (errno.EMFILE, errno.ENFILE):
            _trace_if_asked()
            _say("error: OPEN_FILES this process may not open as many files as it needs; raise the limit (ulimit -n)")
            return FAILED
        return _report_defect(error)
    except Exception as error:
        return _report_defect(error)


def _report_usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    context = getattr(error, "ctx", None)
    _say(f"error: USAGE {_one_line(error.format_message())}")
    if context is not None:
        _say(f"hint: {context.command_path} --help lists what can be said here")
    return error.exit_code


def _report(error: JetfleetError) -> int:
    _trace_if_asked()
    if isinstance(error, InvalidFlow):
        for problem in error.problems:
            _say(f"{problem.severity}: {problem}")
        return INVALID
    _say(f"error: {error.code} {_one_line(error)}")
    return USAGE if isinstance(error, UsageError) else FAILED


def _report_defect(error: Exception) -> int:
    _trace_if_asked()
    hint = "" if _debugging() else "; JETFLEET_DEBUG=1 shows where"
    _say(f"error: INTERNAL {type(error).__name__}: {_one_line(error)} (this is a defect of jetfleet{hint})")
    return INTERNAL


def _open_closed_streams() -> None:
    """Who calls us with `>&-` wants no output. The next file or socket that is opened must not take the place of the stream."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115


def _is_of_output(error: OSError) -> bool:
    """Whether standard output is what failed: its reader has gone, its disk is full, it was closed. Files have names."""
    return error.filename is None and error.errno in (errno.EPIPE, errno.ENOSPC, errno.EBADF, errno.EIO)


def _nowhere_to_write() -> int:
    """`jetfleet … | head` is no error. The interpreter flushes once more when it ends: give it somewhere to write to."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def _debugging() -> bool:
    return os.environ.get("JETFLEET_DEBUG", "") not in ("", "0")


def _trace_if_asked() -> None:
    if _debugging():
        traceback.print_exc()


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


def _say(line: str) -> None:
    click.echo(line, err=True)
