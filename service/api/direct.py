"""The calls of workers, which come hundreds of times a second: answered before FastAPI looks at them.

They are described as routes like all others. A request that is as it should be is parsed by pydantic alone, which
writes the answer, too; FastAPI takes longer. Any other request goes on to its route, which says what is wrong.

On SQLite there is one writer. Reports that only tell of progress are short: those that arrive together are written in
one transaction by the event loop itself, unless the writer is busy. A change of threads would take longer than they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import anyio.to_thread
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foldstep.service.api.callers import header, path_of
from foldstep.service.api.problems import problem_response
from foldstep.service.contract.errors import FoldstepError
from foldstep.service.flow.context import Context
from foldstep.service.flow.together import together

_LARGEST_ID = 2**31 - 1
_SHORT_BYTES = 16_384
_JSON = (b"content-type", b"application/json")


class Call(NamedTuple):
    """A parsed request.

    Attributes:
        lease: number of the lease in the path; 0 where there is none.
        token: of the lease.
        sent: the body.
    """

    context: Context
    lease: int
    token: str
    sent: Any


def _never(_sent: Any) -> bool:
    return False


@dataclass(frozen=True)
class Direct:
    """How a call is answered.

    Attributes:
        path: below `/api/v1`, as its route has it.
        body: the model of its body.
        act: what is done; None is answered by 204.
        is_short: tells of a body whether it takes a few statements and touches no file.
    """

    path: str
    body: type[BaseModel]
    act: Callable[[Call], BaseModel | None]
    is_short: Callable[[Any], bool] = _never


class _Route(NamedTuple):
    """The route that a call is counted under."""

    path: str


class DirectCalls:
    """ASGI middleware that answers some POST requests.

    Args:
        app: answers the others.
        prefix: of all paths.
        context: what the calls work with.
        calls: how each is answered.
    """

    def __init__(self, app: ASGIApp, prefix: str, context: Context, calls: Sequence[Direct]) -> None:
        self.app, self._context = app, context
        paths = (prefix + re.escape(call.path).replace(r"\{lease_id\}", "([0-9]{1,10})") for call in calls)
        self._calls = [
            (re.compile(path), call, _Route(prefix + call.path)) for path, call in zip(paths, calls, strict=True)
        ]
        self._together = _Together(context)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call, or pass it on."""
        found = self._find(scope) if scope["type"] == "http" and scope["method"] == "POST" else None
        if found is None:
            await self.app(scope, receive, send)
            return
        direct, lease = found
        try:
            body = await _read(receive)
            call = self._parsed(scope, direct, lease, body)
            if call is None:
                await self.app(scope, _again(body), send)
                return
            answer = await self._answer(direct, call, len(body))
        except FoldstepError as error:
            await problem_response(error)(scope, receive, send)
            return
        await _send(answer, send)

    def _find(self, scope: Scope) -> tuple[Direct, str] | None:
        path = path_of(scope)
        for pattern, direct, route in self._calls:
            match = pattern.fullmatch(path)
            if match is not None:
                lease = match.groups()[0] if match.groups() else ""
                scope["route"], scope["path_params"] = route, {"lease_id": lease} if lease else {}
                return direct, lease
        return None

    def _parsed(self, scope: Scope, direct: Direct, lease: str, body: bytes) -> Call | None:
        """Parse a request; None if anything about it is unusual."""
        token = header(scope, b"x-lease-token")
        if lease and (int(lease) > _LARGEST_ID or token is None):
            return None
        try:
            sent = direct.body.model_validate_json(body)
        except ValidationError:
            return None
        return Call(self._context, int(lease or 0), token or "", sent)

    async def _answer(self, direct: Direct, call: Call, n_bytes: int) -> BaseModel | None:
        if self._context.database.is_sqlite and n_bytes <= _SHORT_BYTES and direct.is_short(call.sent):
            answer: BaseModel | None = await self._together.answer(lambda: direct.act(call))
            return answer
        return await anyio.to_thread.run_sync(direct.act, call)


class _Together:
    """The short calls that arrived together: they share a transaction, in which each has a savepoint."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._waiting: deque[_Waiting] = deque()
        self._is_due = False

    async def answer(self, act: Callable[[], Any]) -> Any:
        """Do what a call asks for, with the others that have arrived by the time that the writer is free."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(act, loop.create_future(), contextvars.copy_context())
        self._waiting.append(waiting)
        if not self._is_due:
            self._is_due = True
            loop.call_soon(self._begin, loop)
        return await waiting.future

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        answered = self._answer_all(wait=False)
        if answered is None:
            loop.run_in_executor(None, self._begin_later, loop)
        else:
            _tell(answered)

    def _begin_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the writer in a thread; more calls arrive meanwhile."""
        answered = self._answer_all(wait=True) or []
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(_tell, answered)

    def _answer_all(self, *, wait: bool) -> list[_Answered] | None:
        """Do what all waiting calls ask for; None where somebody else writes, and is not to be waited for."""
        taken: list[_Waiting] = []

        def work() -> list[_Answered]:
            self._take(taken)
            return [_answered(waiting) for waiting in taken]

        try:
            return together(self._context, work, wait=wait)
        except Exception as error:  # nothing was written
            self._take(taken)
            return [_Answered(waiting.future, None, error) for waiting in taken]

    def _take(self, taken: list[_Waiting]) -> None:
        self._is_due = False
        while self._waiting:
            taken.append(self._waiting.popleft())


class _Waiting(NamedTuple):
    """A call that waits for the writer."""

    act: Callable[[], Any]
    future: asyncio.Future[Any]
    context: contextvars.Context


class _Answered(NamedTuple):
    """What came of a call."""

    future: asyncio.Future[Any]
    answer: Any
    error: Exception | None


def _answered(waiting: _Waiting) -> _Answered:
    try:
        return _Answered(waiting.future, waiting.context.run(waiting.act), None)
    except Exception as error:
        return _Answered(waiting.future, None, error)


def _tell(answered: list[_Answered]) -> None:
    for future, answer, error in answered:
        if future.done():  # its client has left
            continue
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)


async def _read(receive: Receive) -> bytes:
    """Read a body.

    Raises:
        ClientDisconnect: the client left before its end.
    """
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)


def _again(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _send(answer: BaseModel | None, send: Send) -> None:
    body = b"" if answer is None else answer.__pydantic_serializer__.to_json(answer)
    headers = [] if answer is None else [_JSON, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 204 if answer is None else 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
