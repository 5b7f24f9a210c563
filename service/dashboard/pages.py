"""The page at `/`: static files, with headers that let it load nothing from elsewhere."""

from __future__ import annotations

from importlib import resources

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Pages(StaticFiles):
    """The files of the dashboard."""

    def __init__(self) -> None:
        super().__init__(directory=str(resources.files("foldstep.service.dashboard") / "static"), html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Send a file, with the security headers."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response
