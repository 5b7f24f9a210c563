"""Dependencies of the handlers: the context, the body as it was sent, the search that a path names."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ParamSpec, TypeAlias, TypeVar

import anyio.to_thread
from fastapi import Depends, Header, Path, Request

from foldstep.service.api.unread import UnreadBody
from foldstep.service.contract.bounds import check_values, too_deep
from foldstep.service.contract.document import Lines, load_document
from foldstep.service.contract.errors import Fault, LeaseLost, NotFound, SpecInvalid, TooLarge
from foldstep.service.flow.context import Context
from foldstep.service.flow.identify import identify
from foldstep.service.flow.transfer import check_held

P = ParamSpec("P")
T = TypeVar("T")
LeaseToken: TypeAlias = Annotated[str, Header(alias="X-Lease-Token", description="the token of the lease")]


async def context_of(request: Request) -> Context:
    """Find the context that the application was made with."""
    context: Context = request.app.state.context
    return context


async def raw_body(request: Request) -> bytes:
    """Read the body's bytes; the size limit holds while they arrive."""
    return await request.body()


async def spec_body(request: Request) -> bytes:
    """Read the bytes of a spec, up to the limit of specs, which is far below that of other bodies.

    Raises:
        TooLarge: there are more.
    """
    limit: int = request.app.state.context.settings.max_spec_bytes
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise TooLarge(f"The spec is larger than the {limit:,} bytes that this master takes; its setting "
                           "FOLDSTEP_MAX_SPEC_BYTES raises the limit.")  # fmt: skip
    return bytes(body)


async def document(
    request: Request, body: Annotated[bytes, Depends(spec_body)], content_type: Annotated[str, Header()] = ""
) -> Any:
    """Parse the body as JSON or YAML, as its content type says; the lines of YAML are kept for its faults.

    Raises:
        SpecInvalid: it is neither, passes a bound of specs, or has a key twice.
    """
    value, request.state.lines = await heavily(_parsed, body, is_yaml="yaml" in content_type)
    return value


def _parsed(body: bytes, *, is_yaml: bool) -> tuple[Any, Lines | None]:
    try:
        text = body.decode()
        if is_yaml:
            return load_document(text)
        value = json.loads(text, object_pairs_hook=_each_key_once)
        check_values(value)
    except RecursionError:
        raise SpecInvalid([too_deep()]) from None
    except ValueError as error:  # no UTF-8, no JSON, or a number of more digits than Python reads
        hint = "send YAML with the content type application/yaml"
        raise _unreadable("a JSON document in UTF-8", str(error), hint) from None
    return value, None


_HEAVY, _IN_TURN = anyio.CapacityLimiter(6), anyio.CapacityLimiter(2)


async def heavily(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call a function in one of a few threads, so that many large requests leave the other calls theirs."""
    return await anyio.to_thread.run_sync(partial(function, *arguments, **named), limiter=_HEAVY)


async def in_turn(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call a function that waits for one process: while that answers a call, another one is prepared."""
    return await anyio.to_thread.run_sync(partial(function, *arguments, **named), limiter=_IN_TURN)


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        fault = Fault(code="duplicate_key", path=twice, expected="each key once", got="it twice",
                      hint="keep one of the two")  # fmt: skip
        raise SpecInvalid([fault])
    return found


def _unreadable(expected: str, got: str, hint: str | None = None) -> SpecInvalid:
    return SpecInvalid([Fault(code="not_readable", path="", expected=expected, got=got, hint=hint)])


def held_lease(
    lease_id: Annotated[int, Path(ge=0, le=2**31 - 1)],
    token: LeaseToken,
    context: Annotated[Context, Depends(context_of)],
) -> None:
    """Refuse a lease that is not held, or not under this token, before the body is read.

    Raises:
        UnreadBody: it is so.
    """
    try:
        check_held(context, lease_id, token)
    except (LeaseLost, NotFound) as error:
        raise UnreadBody(error) from None


def search_of(
    search_id: Annotated[str, Path(description="the search's id, its name, or the beginning of its id")],
    context: Annotated[Context, Depends(context_of)],
) -> str:
    """Find the id of the search that the path names.

    Raises:
        NotFound: it names none.
        Ambiguous: it names several.
    """
    return identify(context, search_id)


InContext: TypeAlias = Annotated[Context, Depends(context_of)]
Body: TypeAlias = Annotated[bytes, Depends(raw_body)]
Document: TypeAlias = Annotated[Any, Depends(document)]
IfHeld: TypeAlias = Annotated[None, Depends(held_lease)]
SearchId: TypeAlias = Annotated[str, Depends(search_of)]
IdempotencyKey: TypeAlias = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="new for each submission or extension; a request that is repeated with it changes nothing",
    ),
]
