"""What all calls of the client share: the connection, and lists that come page by page."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from httpx import URL
from pydantic import BaseModel, TypeAdapter

from foldstep.service.contract.connection import READING_DATA, Connection

_ROWS_OF_A_PAGE = 500
R = TypeVar("R")
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Calls:
    """The connection, and lists that come page by page."""

    connection: Connection
    url: str

    def _post_record(self, path: str, record: BaseModel) -> bytes:
        return self._post_json(path, record.model_dump_json())

    def _post_json(self, path: str, text: str, headers: Mapping[str, str] = NO_HEADERS) -> bytes:
        """Send JSON for which the master reads data."""
        headers = {"Content-Type": "application/json", **headers}
        return self.connection.request("POST", path, content=text, headers=headers, timeout=READING_DATA).content

    def _get(self, path: str, **params: Any) -> bytes:
        return self.connection.request("GET", path, params=params).content

    def _all(self, path: str, rows: TypeAdapter[list[R]]) -> list[R]:
        """Collect a list, page by page; each answer names the next page in its `Link` header."""
        found: list[R] = []
        cursor: str | None = None
        while True:
            params = {"limit": _ROWS_OF_A_PAGE} | ({"cursor": cursor} if cursor else {})
            answer = self.connection.request("GET", path, params=params)
            found += rows.validate_json(answer.content)
            following = answer.links.get("next")
            if following is None:
                return found
            cursor = URL(following["url"]).params["cursor"]
