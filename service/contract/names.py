"""Names: a type annotation for record fields that hold one of a table, and lists of them in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticKnownError, core_schema


class OneOf:
    """The annotation of a text field whose value must be a name of a table, as in `Annotated[str, OneOf(METRICS)]`.

    The table is read at each validation, so its names are not repeated. Errors are worded as those of a `Literal`.
    """

    def __init__(self, table: Mapping[str, object]) -> None:
        self._table = table

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self._table)}

    def _known(self, value: Any) -> str:
        if isinstance(value, str) and value in self._table:
            return value
        *others, last = [repr(name) for name in self._table]
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(others)} or {last}"})


MOST_NAMES = 8
"""Names that are listed; of more the number is said."""


def listed(names: tuple[str, ...] | list[str]) -> str:
    """Write names as a list, cut after some, with the count of all."""
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
