"""Headers of every answer that close what browsers leave open."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
    # an answer of the API is data: a browser that opens it runs, loads and frames nothing
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}
_PAIRS = [(name.lower().encode(), value.encode()) for name, value in _EVERYWHERE.items()]
_OVER_TLS = [*_PAIRS, (b"strict-transport-security", b"max-age=31536000")]


class SecurityHeaders:
    """ASGI middleware that adds the headers that an answer does not set itself, as the page does.

    There is no header that lets another origin read an answer (CORS), so browsers refuse that to every other site.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the headers on the way back."""
        pairs = _OVER_TLS if scope.get("scheme") == "https" else _PAIRS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                there = {name for name, _ in headers}
                message = {**message, "headers": [*headers, *(pair for pair in pairs if pair[0] not in there)]}
            await send(message)

        await self.app(scope, receive, send_with_headers)
