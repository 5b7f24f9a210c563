"""The master's version in every answer, so that clients of another one can say so."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foldstep.service.contract.version import VERSION_HEADER, __version__

_HEADER = (VERSION_HEADER.lower().encode(), __version__.encode())


class VersionHeader:
    """ASGI middleware that adds the version to the head of each answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the header on the way back."""

        async def send_with_version(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), _HEADER]}
            await send(message)

        await self.app(scope, receive, send_with_version)
