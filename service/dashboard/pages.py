"""The page at `/` and the documentation at `/docs`: static files, with headers that let them load nothing foreign."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response
from starlette.types import Scope

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_PAGES = {"docs": "docs.html"}
_DOCUMENTATION = frozenset({"favicon.png", "swagger-ui-bundle.js", "swagger-ui.css"})
"""Files of the package `fastapi-offline`: Swagger UI, which would else be loaded from elsewhere."""


class Pages(StaticFiles):
    """The files of the dashboard and of the documentation."""

    def __init__(self) -> None:
        super().__init__(directory=_FOLDER, packages=[("fastapi_offline", "static")], html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Send a file, with the security headers."""
        response = await super().get_response(_PAGES.get(path, path), scope)
        response.headers.update(HEADERS)
        return response


_FOLDER = Path(str(resources.files("foldstep.service.dashboard"))) / "static"


def public_paths() -> frozenset[str]:
    """List the paths that everybody may read: the page's files hold nothing of the master's."""
    own = {path.name for path in _FOLDER.iterdir()}
    return frozenset(f"/{name}" for name in {"", *_PAGES, *own, *_DOCUMENTATION})
