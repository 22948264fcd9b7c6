"""Outcomes: what a caller is told of runs: that they will be, or, where the trigger waits, how they ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ...broker.api.client import Client
from ...broker.api.errors import NotEnded
from ...broker.api.result import Result
from ...broker.client import BrokerError, PayloadTooLarge
from ...broker.triggers.firing import Fate
from ...schemas.errors import JetfleetError
from ...schemas.payload_errors import PayloadError
from .replies import Refusal, Reply, json_reply, unavailable

RETRY_AFTER_S = 2


def accepted(fate: Fate) -> Reply:
    """202 with the run, or the runs of several flows. Raises Refusal if no flow has an event, or one may have it if it is sent again."""
    check(fate)
    if len(fate.runs) == 1 and not fate.refused:
        (run,) = fate.runs.values()
        return Reply(202, b'{"run":"' + run.encode() + b'"}')
    return json_reply(202, {"runs": fate.runs} | refusals(fate))


def check(fate: Fate) -> None:
    """Raises Refusal if no flow has an event, or one may have it if it is sent again."""
    errors = list(fate.refused.values())
    if any(map(_passes, errors)):  # with a key, the runs that there are will be the same ones next time
        raise unavailable("NOT_STORED", "the event cannot be stored at the moment: send the request again later", RETRY_AFTER_S)
    if fate.runs:
        return
    if not errors:
        raise unavailable("NOT_SERVED", "nobody listens to this trigger any more", RETRY_AFTER_S)
    if any(isinstance(error, PayloadTooLarge) for error in errors):
        raise Refusal(413, "TOO_LARGE", "the event is larger than what can be stored")
    raise Refusal(422, errors[0].code, "; ".join(map(str, errors)))


def _passes(error: JetfleetError) -> bool:
    """Whether the same event may be taken later."""
    if isinstance(error, PayloadError):
        return error.retryable
    return isinstance(error, BrokerError) and not isinstance(error, PayloadTooLarge)


def refusals(fate: Fate) -> dict[str, Any]:
    """What the other flows said, for the reply."""
    errors = {flow: {"code": error.code, "message": str(error)} for flow, error in fate.refused.items()}
    return {"refused": errors} if errors else {}


class Outcomes:
    """How runs end. `timeout_s`: how long they may take until the caller is told that they go on without it. `reveal`: whether it may read
    the messages of errors, which nodes write and which may tell of what is inside."""

    def __init__(self, client: Client, timeout_s: float, reveal: bool = False) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._reveal = reveal
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(self) -> None:
        """Nobody waits any longer."""
        if not self._over.done():
            self._over.set_result(None)

    async def reply(self, fate: Fate) -> Reply:
        """200 with what each run gave, 500 if one failed, 504 if one goes on. Raises Refusal."""
        check(fate)
        waiting = {flow: asyncio.ensure_future(self._result(run)) for flow, run in fate.runs.items()}
        try:
            await self._ended_or_over(set(waiting.values()))
            found = {flow: each.result() if each.done() else _GOES_ON for flow, each in waiting.items()}
        finally:
            for each in waiting.values():
                each.cancel()
        told = {flow: _told(fate.runs[flow], result, self._reveal) for flow, result in found.items()}
        status = max(status for status, _ in told.values())
        if len(told) == 1 and not fate.refused:
            return json_reply(status, next(iter(told.values()))[1])
        return json_reply(status, {"runs": {flow: body for flow, (_, body) in told.items()}} | refusals(fate))

    async def _ended_or_over(self, going: set[asyncio.Future[Result | JetfleetError]]) -> None:
        """Returns when all of these are done, or nobody waits any longer. Who asks is left to end them."""
        while going and not self._over.done():
            any_of: list[asyncio.Future[Any]] = [*going, self._over]
            await asyncio.wait(any_of, return_when=asyncio.FIRST_COMPLETED)
            going = {each for each in going if not each.done()}

    async def _result(self, run: str) -> Result | JetfleetError:
        try:
            handle = await self._client.handle(run)
            return await handle.result(self._timeout_s)
        except NotEnded:
            return _GOES_ON
        except JetfleetError as error:
            return error


_GOES_ON = JetfleetError("the run goes on: ask for it by its id")


def _told(run: str, result: Result | JetfleetError, reveal: bool) -> tuple[int, Mapping[str, Any]]:
    if result is _GOES_ON:
        return 504, {"run": run, "error": {"code": "NOT_ENDED", "message": str(result)}}
    if isinstance(result, JetfleetError):
        return 504, {
            "run": run,
            "error": {"code": "NOT_TOLD", "message": "how the run ended cannot be told at the moment: ask for it by its id"},
        }
    if result.completed:
        return 200, {"run": run, "status": result.status, "output": result.output}
    error: dict[str, Any] = {"code": f"RUN_{result.status.upper()}", "message": f"the run was {result.status}"}
    if result.error is not None:
        error["type"] = result.error.type
        if reveal:
            error["message"] = result.error.message
    return 500, {"run": run, "status": result.status, "error": error}
