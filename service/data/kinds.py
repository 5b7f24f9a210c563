"""Decide what a column of text holds, numbers, dates or categories, and say why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import polars as pl

from foldstep.service.contract.dataset import Finding
from foldstep.service.contract.reading import ColumnReading, DateOrder, Decimal, ReadingOptions
from foldstep.service.data.date_column import decide_date
from foldstep.service.data.dates import find_dates, looks_like_dates
from foldstep.service.data.decision import Decision, FileEvidence
from foldstep.service.data.number_column import decide_number, may_be_numbers, several_units
from foldstep.service.data.numbers import evidence_of, in_ascii, is_number, parts_of
from foldstep.service.data.sampling import thinned
from foldstep.service.data.sayings import as_type
from foldstep.service.data.sources import refusal

_LONGEST = 40
_CERTAIN_POINT = r"^[+-]?0?\.\d|\.(\d{1,2}|\d{4,})$"
"""A point that is a decimal sign for certain, in a number that a computer wrote."""
_MOST_UNITS = 6
"""Numbers with more different endings than this are rather codes, as seats of a theatre are."""


def file_evidence(columns: Iterable[pl.Series], options: ReadingOptions, delimiter: str) -> FileEvidence:
    """Gather what the first rows of all columns tell of decimal sign and order of dates."""
    comma = point = 0
    orders: list[DateOrder] = []
    for text in columns:
        n_plain = text.cast(pl.Float64, strict=False).count()
        if n_plain == text.count():
            point += bool(text.str.contains(_CERTAIN_POINT).any())
            continue
        if text.str.contains("[.,]").any():
            found = evidence_of(parts_of(text).body)
            comma, point = comma + (found.comma > 0), point + (found.point > 0)
        is_numbers = n_plain > 0.5 * text.count()  # 1.2345 is no month of a year
        dates = None if is_numbers else find_dates(text, options.dates, None)
        if dates is not None and dates.order is not None:
            orders.append(dates.order)
    decimal: Decimal | None = options.decimal or ("," if comma > point else "." if point else None)
    order = options.dates or (orders[0] if orders and len(set(orders)) == 1 else None)
    return FileEvidence(decimal, order, delimiter)


def decide(text: pl.Series, options: ReadingOptions, evidence: FileEvidence) -> Decision:
    """Decide what a column holds.

    Args:
        text: its cells, cleaned; its name is the column's.
        options: what the user says; a type that is said is imposed.
        evidence: of the whole file.

    Raises:
        DatasetUnreadable: `type_mismatch`, no cell is of the type that the user says.
    """
    said = options.types.get(text.name)
    if said in ("number", "date", "category"):
        return _imposed(text, said, options, evidence)
    if text.null_count() == len(text):
        return Decision(ColumnReading(name=text.name, kind="number"), "no value at all")
    return (
        _boolean(text)
        or decide_number(text, options, evidence)
        or decide_date(text, options, evidence)
        or _category(text)
    )


def _imposed(text: pl.Series, said: str, options: ReadingOptions, evidence: FileEvidence) -> Decision:
    if said == "category":
        return Decision(ColumnReading(name=text.name, kind="category"), "as data.types says")
    decide_kind = decide_number if said == "number" else decide_date
    found = decide_kind(text, options, evidence, least=0.0)
    if found is None or (found.unfit is not None and found.unfit.count == len(text) - text.null_count()):
        cells = ", ".join(repr(c[:_LONGEST]) for c in text.drop_nulls().unique(maintain_order=True).head(3))
        raise refusal(
            "type_mismatch",
            expected=f"{said}s in the column {text.name}, as data.types says",
            got=cells or "no value",
            hint="leave the column out of data.types" + (", or set data.dates" if said == "date" else ""),
        )
    return replace(found, why=f"as data.types says; {found.why}")


def _boolean(text: pl.Series) -> Decision | None:
    if thinned(text.drop_nulls(), 1000).n_unique() > 6:
        return None  # a glance says so: to look for all different cells of a long column takes long
    words = text.drop_nulls().unique(maintain_order=True)
    if len(words) > 6 or not words.str.to_lowercase().is_in(["true", "false"]).all():
        return None
    false, true = (next((w for w in words if w.lower() == word), word) for word in ("false", "true"))
    reading = ColumnReading(name=text.name, kind="category", labels=(false, true))
    findings = []
    if len(words) > 2:
        ways = ", ".join(words)
        sentence = f"{text.name} writes true and false in several ways ({ways}): read as {false} and {true}."
        findings.append(Finding(code="spellings", columns=(text.name,), sentence=sentence,
                                setting=as_type(text.name, "category")))  # fmt: skip
    return Decision(reading, f"{false} or {true} in every cell", findings=findings)


def _category(text: pl.Series) -> Decision:
    """Take a column as categories, and say where many of its cells are numbers or dates."""
    cells = text.drop_nulls()
    findings = [*_partly_numbers(cells), *_partly_dates(cells)][:1]
    return Decision(ColumnReading(name=text.name, kind="category"), "text", findings=findings)


def _partly_numbers(cells: pl.Series) -> Iterator[Finding]:
    if not may_be_numbers(cells):
        return
    parts = parts_of(in_ascii(cells))
    is_there = is_number(parts.body)
    n_numbers = int(is_there.sum())
    units = several_units(parts.unit.filter(is_there))
    if n_numbers < 0.5 * len(cells) or len(units) > _MOST_UNITS:
        return
    if len(units) > 1:
        ways = f"in several units ({', '.join(units[:4])})"
    elif n_numbers < len(cells):
        ways = f"but not in the rest ({_examples(cells.filter(~is_there))})"
    else:
        ways = f"written in several ways ({_examples(cells)})"
    sentence = f"{cells.name} has numbers in {n_numbers:,} of {len(cells):,} cells, {ways}: read as text."
    setting = as_type(cells.name, "number")
    yield Finding(code="partly_numbers", columns=(cells.name,), sentence=sentence, setting=setting, is_warning=True)


def _partly_dates(cells: pl.Series) -> Iterator[Finding]:
    if looks_like_dates(thinned(cells, 1000)).sum() < 0.4 * min(len(cells), 1000):
        return
    is_there = looks_like_dates(cells) & cells.str.contains(r"\d{4}|\pL{3}")  # no versions, no network addresses
    if is_there.sum() < 0.5 * len(cells):
        return
    sentence = (
        f"{cells.name} seems to hold dates ({_examples(cells.filter(is_there))}), in a way of writing that is not "
        "known, or in several: read as text."
    )
    setting = f"dates as 2024-01-31 in the file, or {as_type(cells.name, 'date')} with data.dates"
    yield Finding(code="partly_dates", columns=(cells.name,), sentence=sentence, setting=setting, is_warning=True)


def _examples(cells: pl.Series) -> str:
    return ", ".join(repr(cell[:_LONGEST]) for cell in cells.unique(maintain_order=True).head(3))
