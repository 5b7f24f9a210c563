"""The guard: looks at the token before anything of a request's body is read, let alone parsed."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

import anyio
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foldstep.service.api.callers import address_of, by_cookie, by_token, header, path_of, unauthorized
from foldstep.service.api.problems import problem_response
from foldstep.service.auth.door import Caller, Door
from foldstep.service.auth.policy import check_scopes
from foldstep.service.auth.rates import Rates
from foldstep.service.contract.errors import FoldstepError, TooLarge
from foldstep.service.settings import Settings

_OPEN = frozenset({"/healthz", "/readyz"})
_OPEN_CALLS = frozenset({("POST", "/api/v1/session")})
"""Calls that show their secret in the body."""
_OPEN_BYTES = 4096
_OPEN_S = 10.0
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
        elif (scope["method"], path_of(scope)) in _OPEN_CALLS:
            await self._pass_open(scope, receive, send)
        else:
            try:
                caller = await self._caller(scope)
                check_scopes(scope["method"], path_of(scope), caller.scopes)
                self.rates.take(caller.token_id)
            except FoldstepError as error:
                await refuse(error, scope, receive, send)
                return
            scope.setdefault("state", {})["caller"] = caller
            await self.app(scope, receive, send)

    async def _pass_open(self, scope: Scope, receive: Receive, send: Send) -> None:
        length = header(scope, b"content-length") or "0"
        if length.isdecimal() and int(length) <= _OPEN_BYTES:
            await self.app(scope, _limited(receive), send)
        else:
            await refuse(_too_large(), scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        return scope["method"] in ("GET", "HEAD") and path_of(scope) in self.open_paths

    async def _caller(self, scope: Scope) -> Caller:
        """Find who calls.

        Raises:
            Unauthorized: nobody that is known.
            Forbidden: a browser, for the page of another site.
            TooManyRequests: the address has sent too many wrong tokens.
        """
        given = _bearer(scope)
        if given is not None:
            return await by_token(self.door, given, address_of(scope))
        caller = await by_cookie(self.door, scope)
        if caller is None:
            raise unauthorized()
        return caller


def _bearer(scope: Scope) -> str | None:
    """Find the token in the `Authorization` header; None where there is none."""
    kind, _, given = (header(scope, b"authorization") or "").partition(" ")
    return given.strip() or None if kind.lower() == "bearer" else None


def _limited(receive: Receive) -> Receive:
    """Limit the body of an open call, in bytes and in time."""
    n_bytes, deadline = 0, anyio.current_time() + _OPEN_S

    async def limited() -> Message:
        nonlocal n_bytes
        try:
            with anyio.fail_after(max(0.0, deadline - anyio.current_time())):
                message = await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        n_bytes += len(message.get("body", b""))
        if n_bytes > _OPEN_BYTES:
            raise _too_large()
        return message

    return limited


def _too_large() -> TooLarge:
    return TooLarge(f"A call without a token may have {_OPEN_BYTES:,} bytes, and this one has more.")


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
