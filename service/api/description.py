"""The description of the API: that every call but the open ones takes a token, in one of two places."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

OPEN = frozenset({"/healthz", "/readyz"})
_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "a token, or the master's own"},
}


def describe(app: FastAPI) -> None:
    """Add the token to the description of an application's calls."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(title=app.title, version=app.version, routes=app.routes, servers=app.servers or None)
            found.setdefault("components", {})["securitySchemes"] = _SCHEMES
            for path, methods in found["paths"].items():
                for method, call in methods.items():
                    is_open = path in OPEN or (method, path) == ("post", "/api/v1/session")
                    call["security"] = [] if is_open else [{"token": []}]
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def methods_of(app: FastAPI, path: str) -> list[str]:
    """List the documented methods of a path; of `…/{id}` and `…/{id}:stop`, which both fit, the longer one counts."""
    found = [template for template in app.openapi()["paths"] if _pattern(template).fullmatch(path)]
    if not found:
        return []
    longest = max(found, key=lambda template: len(re.sub(r"{[^}]*}", "", template)))
    return sorted(method.upper() for method in app.openapi()["paths"][longest])


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template)))
