"""Refusals that come before a body is read: the client gets its answer, and need not send the rest."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from foldstep.service.api.guard import refuse
from foldstep.service.contract.errors import FoldstepError


class UnreadBody(Exception):
    """A refusal of a request whose body was not read.

    Attributes:
        error: the refusal.
    """

    def __init__(self, error: FoldstepError) -> None:
        super().__init__(error.message)
        self.error = error


class _Refusal(Response):
    def __init__(self, error: FoldstepError) -> None:
        super().__init__()
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(self._error, scope, receive, send)


def install(app: FastAPI) -> None:
    """Answer `UnreadBody` as the guard answers a wrong token: at once, then the connection is closed."""
    app.add_exception_handler(UnreadBody, _handle)


def _handle(_request: Request, error: Any) -> Response:
    return _Refusal(error.error)
