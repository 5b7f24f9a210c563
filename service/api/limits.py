"""Refusal of a body that is too large, as soon as its length is announced or has been exceeded."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foldstep.service.api.guard import refuse
from foldstep.service.contract.errors import TooLarge
from foldstep.service.settings import Settings


class BodyLimit:
    """ASGI middleware that limits the size of bodies; uploads of files may be larger than other requests."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the bytes of an HTTP request on their way in."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit, setting = self._limit(scope)
        if _announced(scope) > limit:
            await refuse(_too_large(limit, setting), scope, receive, send)
            return
        await self.app(scope, _counted(receive, limit, setting), send)

    def _limit(self, scope: Scope) -> tuple[int, str]:
        """Find the limit of a request, in bytes, and the setting that it is."""
        if scope["method"] == "PUT" or scope["path"].endswith("/datasets:upload"):
            return self.settings.max_upload_bytes, "MAX_UPLOAD_BYTES"
        if scope["path"].endswith("/predict"):
            return self.settings.max_predict_bytes, "MAX_PREDICT_BYTES"
        return self.settings.max_body_bytes, "MAX_BODY_BYTES"


def _announced(scope: Scope) -> int:
    header = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(header) if header.isdigit() else 0


def _counted(receive: Receive, limit: int, setting: str) -> Receive:
    n_bytes = 0

    async def counted() -> Message:
        nonlocal n_bytes
        message = await receive()
        n_bytes += len(message.get("body", b""))
        if n_bytes > limit:
            raise _too_large(limit, setting)
        return message

    return counted


def _too_large(limit: int, setting: str) -> TooLarge:
    return TooLarge(f"The request is larger than the {limit:,} bytes that this master takes; its setting "
                    f"FOLDSTEP_{setting} raises the limit.")  # fmt: skip
