"""The guard: looks at the token before anything of a request's body is read, let alone parsed."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

import anyio
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from foldstep.service.api.problems import problem_response
from foldstep.service.auth.attempts import WrongTokens
from foldstep.service.auth.door import Caller, Door
from foldstep.service.auth.policy import check_scopes
from foldstep.service.auth.rates import Rates
from foldstep.service.contract.errors import FoldstepError, Unauthorized
from foldstep.service.settings import Settings

_OPEN = frozenset({"/healthz", "/readyz"})
_DRAINED_BYTES = 1 << 20
_DRAINED_S = 1.0


class Guard:
    """ASGI middleware that lets nothing in without a right token but health and the page's own files.

    Args:
        app: what it guards.
        settings: the limits.
        door: knows the tokens.
        open_paths: paths that everybody may read; nothing else is open.
    """

    def __init__(self, app: ASGIApp, settings: Settings, door: Door, open_paths: Collection[str]) -> None:
        self.app = app
        self.door = door
        self.wrong = WrongTokens(settings.wrong_tokens_per_minute)
        self.rates = Rates(settings.max_calls_per_s)
        self.open_paths = _OPEN | frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a call, or pass it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif self._is_open(scope):
            await self.app(scope, receive, send)
        else:
            try:
                caller = await self._caller(scope)
                check_scopes(scope["method"], _path(scope), caller.scopes)
                self.rates.take(caller.token_id)
            except FoldstepError as error:
                await refuse(error, scope, receive, send)
                return
            scope.setdefault("state", {})["caller"] = caller
            await self.app(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        return scope["method"] in ("GET", "HEAD") and _path(scope) in self.open_paths

    async def _caller(self, scope: Scope) -> Caller:
        """Find who calls.

        Raises:
            Unauthorized: nobody that is known.
            TooManyRequests: the address has sent too many wrong tokens.
        """
        given = _bearer(scope)
        if given is None:
            raise _unauthorized()
        address = str((scope.get("client") or ("",))[0])
        if self.wrong.is_guessable(given):
            self.wrong.refuse_if_over(address)
        caller = self.door.by_token(given)
        if caller is None:
            self.wrong.refuse_if_over(address)
            with self.wrong:
                await anyio.sleep(self.wrong.add(address))
            raise _unauthorized()
        return caller


def _path(scope: Scope) -> str:
    """Find the path below the root path, that a proxy has taken away and the server has put back."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _bearer(scope: Scope) -> str | None:
    """Find the token in the `Authorization` header; None where there is none, or several."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    if not found:
        return None
    kind, _, given = found[0].decode("latin-1").partition(" ")
    return given.strip() or None if kind.lower() == "bearer" and len(found) == 1 else None


def _unauthorized() -> Unauthorized:
    return Unauthorized("Send a token as `Authorization: Bearer …`; the master's own is in the file `token` of its "
                        "data folder.")  # fmt: skip


async def refuse(error: FoldstepError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a refusal, and close the connection where a body was on its way.

    The answer is sent whole before a little of the body is thrown away: a client that is still sending reads it then,
    where it would find a connection that was reset.
    """
    headers = dict(scope["headers"])
    has_body = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
    response: Response = problem_response(error)
    if not has_body:
        await response(scope, receive, send)
        return
    response.headers["Connection"] = "close"
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    body = b"" if scope["method"] == "HEAD" else bytes(response.body)
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if b"expect" not in headers:
        await _drain(receive)
    await send({"type": "http.response.body", "body": b""})


async def _drain(receive: Receive) -> None:
    """Throw away what comes of a body, within bounds."""
    n_bytes = 0
    with contextlib.suppress(TimeoutError), anyio.fail_after(_DRAINED_S):
        while n_bytes < _DRAINED_BYTES:
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body"):
                return
