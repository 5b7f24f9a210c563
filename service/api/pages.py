"""Long lists in pages: at most `limit` rows, and a `Link` header (RFC 8288) with the address of the next page."""

from __future__ import annotations

from typing import Annotated, TypeAlias, TypeVar

from fastapi import Query, Request, Response

from foldstep.service.flow.pages import Page

T = TypeVar("T")
MOST, USUALLY = 1000, 100

Limit: TypeAlias = Annotated[int, Query(ge=1, le=MOST, description="rows of a page")]
Cursor: TypeAlias = Annotated[str | None, Query(description="from the `Link` of the page before")]


def rows_of(page: Page[T], request: Request, response: Response) -> list[T]:
    """Take the rows of a page, and name the next one in the response's head."""
    if page.cursor is not None:
        following = request.url.include_query_params(cursor=page.cursor)
        response.headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
    return page.rows
