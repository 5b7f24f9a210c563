"""How a table's cells are read: what a user says of it, and what was decided for each column.

A column's reading goes with the search into every checkpoint, so that new files are read as the training data was.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from math import isfinite
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field

from foldstep.service.contract.space import Frozen

Kind: TypeAlias = Literal["number", "category", "date"]
TypeWord: TypeAlias = Literal["number", "category", "date", "ignore"]
Decimal: TypeAlias = Literal[".", ","]
DateOrder: TypeAlias = Literal["day_first", "month_first", "year_first"]

MISSING_WORDS = (
    "", "na", "n/a", "nan", "null", "?", "<na>", "nat", "\\n",
    "#n/a", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!",
)  # fmt: skip
"""Texts that mean "no value", in any case: words of R, pandas, SQL and MySQL, and the errors of spreadsheets."""


def _in_words(value: Any) -> Any:
    """Write a number as text, for `missing: [-999]` is what people write."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return f"{value:.17g}" if is_number else value


Word: TypeAlias = Annotated[str, BeforeValidator(_in_words)]


def missing_numbers(words: Sequence[str]) -> list[float]:
    """List the numbers among texts that mean "no value"; they are compared as numbers, too."""
    numbers = []
    for word in words:
        with suppress(ValueError):
            numbers.append(float(word))
    return [number for number in numbers if isfinite(number)]


class ReadingOptions(Frozen):
    """What a user says about how a file is read; the part of a spec's `data` that overrules what is found.

    Attributes:
        types: column to kind, where another kind was found; `ignore` leaves the column out.
        missing: texts that mean "no value" besides `MISSING_WORDS`, in any case.
        not_missing: words of `MISSING_WORDS` that are values in this file.
        decimal: the decimal sign of numbers; None to find it.
        dates: the order of day, month and year in dates; None to find it.
        encoding: of a text file, as Python names it; None for UTF-8, UTF-16 with its mark, or Windows-1252, said.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    types: dict[str, TypeWord] = Field(default_factory=dict)
    missing: list[Word] = Field(default_factory=list)
    not_missing: list[Word] = Field(default_factory=list)
    decimal: Decimal | None = None
    dates: DateOrder | None = None
    encoding: str | None = None

    @property
    def missing_words(self) -> tuple[str, ...]:
        """The texts that mean "no value", in lower case; the empty text always does."""
        kept = {word.strip().lower() for word in self.not_missing}
        words = [*MISSING_WORDS, *(word.strip().lower() for word in self.missing)]
        return tuple(dict.fromkeys(["", *(word for word in words if word not in kept)]))


AS_FOUND = ReadingOptions()
"""Nothing is said: everything is read as it is found."""


class ColumnReading(Frozen):
    """How the cells of one column become values.

    Attributes:
        kind: what the values are.
        decimal: the decimal sign of its numbers.
        thousands: the characters between groups of digits, which are taken away.
        unit: the text before or after each number, which is taken away.
        is_clock: whether its numbers are times of day or durations (`h:mm`, `h:mm:ss`), read as seconds.
        formats: of its dates, in chrono's words (as `strftime`); the first that fits a cell reads it.
        labels: of a column of true and false, the two words as they were written; cells are compared in any case.
    """

    name: str
    kind: Kind
    decimal: Decimal = "."
    thousands: str = ""
    unit: str = ""
    is_clock: bool = False
    formats: tuple[str, ...] = ()
    labels: tuple[str, str] | None = None


class TableReading(Frozen):
    """How a table's columns are read.

    Attributes:
        missing: the texts that mean "no value", in lower case.
        columns: one entry a column.
    """

    missing: tuple[str, ...]
    columns: tuple[ColumnReading, ...]
