"""Every request: its id, taken or made, and sent back; its time by route and status; a log line if it fails."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foldstep.service.api.problems import fault_response, problem_response
from foldstep.service.contract.errors import Unavailable
from foldstep.service.contract.logs import about, say
from foldstep.service.flow.measures import Measures

REQUEST_ID = "X-Request-ID"
API = "/api/v1"
_USABLE = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_CUT = 499
"""Counted for a request whose client left before the answer."""
_log = logging.getLogger(__name__)


class RequestLog:
    """ASGI middleware around all others."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self.app = app
        self.measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; note how it ended."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _id_of(scope)
        status, is_begun = _CUT, False
        began = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status, is_begun
            if message["type"] == "http.response.start":
                status, is_begun = message["status"], True
                header = (REQUEST_ID.lower().encode(), request_id.encode())
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        scope.setdefault("state", {})["request_id"] = request_id
        self.measures.in_flight.inc()
        with about(request=request_id):
            try:
                await self.app(scope, receive, send_with_id)
            except asyncio.CancelledError:  # the master ends, and waits no longer
                if is_begun:
                    raise
                await problem_response(_cut_short())(scope, receive, send_with_id)
            except Exception as error:
                answer = fault_response(scope["method"], scope["path"], error)
                if is_begun:
                    raise
                await answer(scope, receive, send_with_id)
            finally:
                self.measures.in_flight.dec()
                self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = _template(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.measures.request_seconds.labels(method, route, str(status)).observe(seconds)
        if status < 400:
            return
        ids = {name.removesuffix("_id"): value for name, value in scope.get("path_params", {}).items()}
        ids |= {"status": status, "seconds": round(seconds, 3)}
        reason = scope["state"].get("refusal", "the client left" if status == _CUT else "refused")
        say(_log, logging.ERROR if status >= 500 else logging.WARNING, f"{method} {route}: {reason}", **ids)


def _cut_short() -> Unavailable:
    return Unavailable("The master ends, and could not finish this request in time; send it again to the next one.")


def _template(scope: Scope) -> str:
    """Find the path of the route with its parameters' names; `other` for what is no call, as files of the page."""
    template: str | None = getattr(scope.get("route"), "path", None)
    if template is None:
        return "other"
    is_part = scope["path"].startswith(f"{API}/") and not template.startswith(API)  # a router knows no prefix
    return f"{API}{template}" if is_part else template


def _id_of(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given.decode() if _USABLE.fullmatch(given) else uuid.uuid4().hex
