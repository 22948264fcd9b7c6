"""What the commands about a fleet have in common: where its server is, how to write what was found, the client to talk through."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

import click

from ...schemas.subjects import URL_DEFAULT
from ..credentials import INBOX_DEFAULT, Credentials
from ..loop import run

if TYPE_CHECKING:
    from ..api import Client

P = ParamSpec("P")
Command = TypeVar("Command", bound=Callable[..., Any])

nats_option = click.option(
    "--nats",
    "url",
    metavar="URL",
    envvar="JETFLEET_NATS",
    default=URL_DEFAULT,
    show_default=True,
    help="The fleet's server; several with commas between them.",
)
_CREDENTIALS = (
    click.option("--credentials", "credentials", metavar="FILE", envvar="JETFLEET_CREDENTIALS",
                 help="The .creds file, or file with an nkey's seed, to connect with."),
    click.option("--tls-ca", metavar="FILE", envvar="JETFLEET_TLS_CA",
                 help="The certificates that vouch for the server. Default: the system's."),
    click.option("--tls-cert", metavar="FILE", envvar="JETFLEET_TLS_CERT",
                 help="The certificate to show the server, where it asks for one."),
    click.option("--tls-key", metavar="FILE", envvar="JETFLEET_TLS_KEY", help="Its key, if that lies in a file of its own."),
    click.option("--inbox", metavar="WORD", envvar="JETFLEET_INBOX", default=INBOX_DEFAULT, show_default=True,
                 help="What the subjects of answers begin with; users may have one each."),
)  # fmt: skip


def credentials_option(command: Command) -> Command:
    """Who this process is to the server, and how it knows the server: `credentials`, as one value."""

    @functools.wraps(command)
    def with_credentials(*args: Any, credentials: str | None, tls_ca: str | None, tls_cert: str | None, tls_key: str | None, inbox: str,
                         **kwargs: Any) -> Any:  # fmt: skip
        said = Credentials(file=credentials, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key, inbox=inbox)
        return command(*args, credentials=said, **kwargs)

    return cast("Command", functools.reduce(lambda whole, option: option(whole), reversed(_CREDENTIALS), with_credentials))


form_option = click.option(
    "-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to write it."
)


def with_client(work: Callable[Concatenate[Client, P], Awaitable[int | None]]) -> Callable[..., None]:
    """A command's function that gets a connected client first; what it returns is the exit code, None for 0."""

    @nats_option
    @credentials_option
    @functools.wraps(work)
    def command(url: str, credentials: Credentials | None, *args: P.args, **kwargs: P.kwargs) -> None:
        async def connected() -> int | None:
            async with await connect(url, credentials) as client:
                return await work(client, *args, **kwargs)

        click.get_current_context().exit(run(connected()) or 0)

    return command


def quiet_log() -> None:
    """A command says itself what went wrong; what else its connection tells must not stand between results, on standard output."""
    from ..observe import logs

    logs.configure_if_nobody_did("error")


async def connect(url: str, credentials: Credentials | None, arena: Path | None = None) -> Client:
    """`arena`: the folder of this host's arena. Raises Unreachable and other BrokerErrors."""
    from ..api import Client  # not before it is needed: it takes longer to load than most commands take

    quiet_log()
    return await Client.connect(url, name="jetfleet-cli", credentials=credentials, arena=arena)
