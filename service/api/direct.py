"""Routes for the calls of workers, which come hundreds of times a second: without FastAPI's dependencies and checks.

They are described as all others are. A request that is as it should be is parsed by pydantic alone, which writes the
answer, too; FastAPI takes longer. Any other request goes FastAPI's way, which says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ValidationError
from starlette.types import Message

from foldstep.service.api.strict import StrictRoute
from foldstep.service.flow.context import Context

_LARGEST_ID = 2**31 - 1


class Call(NamedTuple):
    """A parsed request.

    Attributes:
        lease: number of the lease in the path; 0 where there is none.
        token: of the lease.
        sent: the body.
    """

    context: Context
    lease: int
    token: str
    sent: Any


class Direct(NamedTuple):
    """How a call is answered: the model of its body, and what is done; None is answered by 204."""

    body: type[BaseModel]
    act: Callable[[Call], BaseModel | None]


class DirectRoute(StrictRoute):
    """A route whose endpoint has an attribute `direct`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Make the handler."""
        otherwise = super().get_route_handler()
        direct: Direct = self.endpoint.direct  # type: ignore[attr-defined]

        async def handle(request: Request) -> Response:
            body = await request.body()
            call = _parsed(request, direct.body, body)
            if call is None:
                return await otherwise(Request(request.scope, _again(body)))
            answer = await run_in_threadpool(direct.act, call)
            if answer is None:
                return Response(status_code=204)
            return Response(answer.__pydantic_serializer__.to_json(answer), media_type="application/json")

        return handle


def answered_by(body: type[BaseModel], act: Callable[[Call], BaseModel | None]) -> Callable[[Any], Any]:
    """Let an endpoint of a `DirectRoute` be answered by a function; its own code runs for faulty requests."""

    def mark(endpoint: Any) -> Any:
        endpoint.direct = Direct(body, act)
        return endpoint

    return mark


def _parsed(request: Request, model: type[BaseModel], body: bytes) -> Call | None:
    """Parse a request; None if anything about it is unusual."""
    lease, token = request.path_params.get("lease_id", "0"), request.headers.get("x-lease-token")
    if not (lease.isascii() and lease.isdecimal()) or int(lease) > _LARGEST_ID:
        return None
    if token is None and "lease_id" in request.path_params:
        return None
    try:
        sent = model.model_validate_json(body)
    except ValidationError:
        return None
    return Call(request.app.state.context, int(lease), token or "", sent)


def _again(body: bytes) -> Callable[[], Coroutine[Any, Any, Message]]:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
