"""Find columns of digits that numbers would change: codes, whole numbers beyond 2**53, dates without marks."""

from __future__ import annotations

from math import isfinite

import polars as pl

from foldstep.service.contract.dataset import Finding
from foldstep.service.contract.reading import ColumnReading
from foldstep.service.data.dates import seconds_of
from foldstep.service.data.decision import Decision
from foldstep.service.data.sayings import as_type

EXACT = 2**53
"""Beyond this, float64 does not hold every whole number."""


def kept_as_text(text: pl.Series, plain: pl.Series) -> Decision | None:
    """Keep cells as text that numbers would change; None where they would not.

    Args:
        text: cells, trimmed; null where missing.
        plain: the cells as numbers; null where one is none.
    """
    whole = r"^[+-]?\d+(?:E\d+)?$"
    if not text.filter(plain.is_not_null()).head(100).str.contains(whole).all():
        return None
    digits = text.filter(plain.is_not_null())
    if not digits.str.contains(whole).all():
        return None
    zeros, powers = (digits.filter(digits.str.contains(pattern)) for pattern in (r"^[+-]?0\d", r"^\d+E\d+$"))
    huge = digits.filter(plain.filter(plain.is_not_null()).abs() >= EXACT)
    if len(zeros):
        return _as_text(text.name, "leading_zeros", "codes with leading zeros, which numbers would lose", zeros[0])
    if len(powers):
        return _as_text(text.name, "powers", "codes that numbers would read as powers of ten", powers[0])
    if len(huge) and any(map(_is_rounded, huge.unique().head(10_000))):
        return _as_text(text.name, "beyond_exact", "whole numbers beyond 2^53, which numbers would round", huge[0])
    return None


def _as_text(name: str, code: str, why: str, example: str) -> Decision:
    sentence = f"{name} holds {why} ({example}): kept as text."
    finding = Finding(code=code, columns=(name,), sentence=sentence, setting=as_type(name, "number"))
    return Decision(ColumnReading(name=name, kind="category"), why, findings=[finding])


def compact_dates(text: pl.Series) -> Decision | None:
    """Decide on dates without marks (20240131): all cells are days of 1900 to 2099, at least three different ones."""
    cells = text.drop_nulls()
    pattern = r"^(19|20)\d{6}$"
    if not cells.head(100).str.contains(pattern).all() or not cells.str.contains(pattern).all() or cells.n_unique() < 3:
        return None
    if seconds_of(cells, ("%Y%m%d",)).null_count():
        return None
    reading = ColumnReading(name=text.name, kind="date", formats=("%Y%m%d",))
    sentence = f"{text.name} is dates written as year, month, day without marks ({cells[0]})."
    setting = as_type(text.name, "number")
    finding = Finding(code="compact_dates", columns=(text.name,), sentence=sentence, setting=setting)
    return Decision(reading, "every cell is a date without marks", findings=[finding])


def _is_rounded(cell: str) -> bool:
    number = float(cell)
    return not isfinite(number) or int(number) != int(cell)
