"""Every error as a problem document (RFC 9457), and the only place that maps errors to HTTP statuses."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from reprlib import Repr
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from foldstep.service.api.description import methods_of
from foldstep.service.contract.errors import (
    MAX_FAULTS,
    Ambiguous,
    Conflict,
    DatabaseDamaged,
    DatasetUnreadable,
    Fault,
    FitRefused,
    FoldstepError,
    Forbidden,
    IllegalTransition,
    InvalidInput,
    KeyReused,
    LeaseLost,
    ModelUnreadable,
    NameTaken,
    NotFound,
    NothingTrained,
    PathNotAllowed,
    SpecInvalid,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    shown,
)

STATUS: dict[type[FoldstepError], int] = {
    InvalidInput: 422,
    SpecInvalid: 422,
    DatasetUnreadable: 422,
    ModelUnreadable: 422,
    FitRefused: 422,
    PathNotAllowed: 403,
    TooLarge: 413,
    NotFound: 404,
    Conflict: 409,
    IllegalTransition: 409,
    LeaseLost: 409,
    NothingTrained: 409,
    NameTaken: 409,
    KeyReused: 409,
    Ambiguous: 409,
    Unauthorized: 401,
    Forbidden: 403,
    TooManyRequests: 429,
    Unavailable: 503,
    DatabaseDamaged: 503,
    FoldstepError: 500,
}
"""The status of each class of error; a test checks that none is missing."""

MEDIA_TYPE = "application/problem+json"
_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}, 503: {"Retry-After": "1"}}
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}
_log = logging.getLogger(__name__)
_short = Repr()
_short.maxstring = _short.maxlong = _short.maxother = 200
"""Shows a part of a value: a body may have megabytes."""


def problem_response(error: FoldstepError) -> JSONResponse:
    """Build the response for an error."""
    status = STATUS[type(error)]
    return Problem(status, error.problem(), _HEADERS.get(status))


class Problem(JSONResponse):
    """A problem document; the request that it answers knows the reason, for the log."""

    media_type = MEDIA_TYPE

    def __init__(self, status: int, problem: dict[str, Any], headers: Any = None) -> None:
        body = {"type": f"urn:foldstep:problem:{problem['code']}", "status": status, **problem}
        super().__init__(body, status_code=status, headers=headers)
        self.reason = f"{problem['code']}: {problem['detail']}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        scope.setdefault("state", {})["refusal"] = self.reason
        await super().__call__(scope, receive, send)


def install(app: FastAPI) -> None:
    """Answer every refusal of the application with a problem document; `RequestLog` answers the faults of ours."""
    app.add_exception_handler(FoldstepError, _refusal)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)


def _refusal(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FoldstepError)
    lines = getattr(request.state, "lines", None)  # of a body in YAML
    return problem_response(lines.place(error) if lines else error)


def _validation(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    faults = [_fault(e) for e in found[:MAX_FAULTS]]
    text = ". ".join(map(str, faults))
    first = f" (the first {MAX_FAULTS} of {len(found):,} faults)" if len(found) > MAX_FAULTS else ""
    return problem_response(
        InvalidInput(f"The request cannot be used{first}: {text}.", faults=faults, n_faults=len(found))
    )


def _fault(error: Any) -> Fault:
    where, *path = error["loc"] or ("request",)
    if error["type"] == "json_invalid":
        got = str(error.get("ctx", {}).get("error", ""))
        return Fault(code="not_json", path="body", expected="a JSON document", got=got or None)
    return Fault(
        code=str(error["type"]),
        path=".".join(map(str, path or [where])),
        expected=str(error["msg"]).removeprefix("Input should be "),
        got=None if error["type"] == "missing" else _short.repr(error.get("input")),
    )


def _http(request: Request, error: Exception) -> JSONResponse:
    """Answer an error of the framework itself: no such route, wrong method, a body that is not what it says."""
    assert isinstance(error, HTTPException)
    status, title = error.status_code, str(error.detail)
    methods = methods_of(request.app, request.scope["path"]) if status in (404, 405) else []
    if methods and request.method not in methods:  # the page's files are looked for under any path
        status, title = 405, "Method Not Allowed"
    where = shown(f"{request.method} {request.url.path}")
    detail = f"{where}: {title}; the calls that there are stand at /docs."
    problem = {"code": _CODES.get(status, f"http_{status}"), "title": title, "detail": detail, "faults": []}
    return Problem(status, problem, {"Allow": ", ".join(methods)} if methods else error.headers)


def fault_response(method: str, path: str, error: Exception) -> JSONResponse:
    """Build the response for an unexpected error: a number, under which the log has the details."""
    number = uuid.uuid4().hex[:12]
    _log.error("fault %s in %s %s", number, method, path, exc_info=error)
    detail = f"The master has a fault; its log has the details under the number {number}."
    problem = {"code": "internal_error", "title": "InternalError", "detail": detail, "faults": []}
    return Problem(500, problem)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document the problems that a call can answer with."""
    return {status: {"description": REASON[status], "content": {MEDIA_TYPE: {}}} for status in _sorted(statuses)}


def _sorted(statuses: Sequence[int]) -> list[int]:
    return sorted({401, 403, 429, *statuses})


REASON = {
    401: "no token, or not the right one",
    403: "a token without the scope for this call, or a file outside the allowed folders",
    404: "there is no such thing",
    409: "not possible in the present state, or a name that several searches have",
    413: "larger than this master takes",
    429: "too many calls with this token; try again in a moment",
    503: "not possible just now; try again",
    422: "what was sent cannot be used; `faults` names every reason",
}
