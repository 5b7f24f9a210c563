"""Dependencies of the handlers: the context, the body as it was sent, the search that a path names."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeAlias

from fastapi import Depends, Header, Path, Request

from foldstep.service.contract.document import load_document, too_deep
from foldstep.service.contract.errors import Fault, SpecInvalid
from foldstep.service.flow.context import Context
from foldstep.service.flow.identify import identify


async def context_of(request: Request) -> Context:
    """Find the context that the application was made with."""
    context: Context = request.app.state.context
    return context


async def raw_body(request: Request) -> bytes:
    """Read the body's bytes; the size limit holds while they arrive."""
    return await request.body()


def document(
    request: Request, body: Annotated[bytes, Depends(raw_body)], content_type: Annotated[str, Header()] = ""
) -> Any:
    """Parse the body as JSON or YAML, as its content type says; the lines of YAML are kept for its faults.

    Raises:
        SpecInvalid: it is neither, nested too deeply, or has a key twice.
    """
    try:
        text = body.decode()
        if "yaml" not in content_type:
            return json.loads(text, object_pairs_hook=_each_key_once)
        value, request.state.lines = load_document(text)
        return value
    except RecursionError:
        raise SpecInvalid([too_deep()]) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        hint = "send YAML with the content type application/yaml"
        raise _unreadable("a JSON document in UTF-8", str(error), hint) from None


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for place, key in enumerate(names) if key in names[:place])
        fault = Fault(code="duplicate_key", path=twice, expected="each key once", got="it twice",
                      hint="keep one of the two")  # fmt: skip
        raise SpecInvalid([fault])
    return found


def _unreadable(expected: str, got: str, hint: str | None = None) -> SpecInvalid:
    return SpecInvalid([Fault(code="not_readable", path="", expected=expected, got=got, hint=hint)])


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
SearchId: TypeAlias = Annotated[str, Depends(search_of)]
LeaseToken: TypeAlias = Annotated[str, Header(alias="X-Lease-Token", description="the token of the lease")]
