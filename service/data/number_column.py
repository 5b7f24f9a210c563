"""Decide whether a column of text is numbers, and how they are written."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from foldstep.service.contract.dataset import Finding
from foldstep.service.contract.reading import ColumnReading, Decimal, ReadingOptions
from foldstep.service.data.cells import unfit_cells
from foldstep.service.data.clocks import clock_seconds
from foldstep.service.data.decision import FITTING_SHARE, Decision, FileEvidence, mostly_fits, sample_of
from foldstep.service.data.kept_text import compact_dates, kept_as_text
from foldstep.service.data.numbers import (
    Evidence,
    evidence_of,
    fold,
    folded,
    in_ascii,
    marks_in,
    parts_of,
    to_numbers,
)
from foldstep.service.data.sayings import as_type

_UNIT_SHARE = 0.9
"""A column has a unit if this share of its cells with any unit have that one."""


def decide_number(
    text: pl.Series, options: ReadingOptions, evidence: FileEvidence, least: float = FITTING_SHARE
) -> Decision | None:
    """Decide on a column of numbers; None where it is none.

    Args:
        text: its cells, cleaned; its name is the column's.
        options: what the user says.
        evidence: of the whole file.
        least: the share of the cells that must be numbers.
    """
    if least > 0 and not may_be_numbers(text):
        return None
    bare = text.cast(pl.Float64, strict=False)
    reading = ColumnReading(name=text.name, kind="number")
    is_bare = bare.null_count() == text.null_count()
    plain = bare if is_bare else to_numbers(text, reading)
    if text.name not in options.types and mostly_fits(text, plain, least):
        kept = kept_as_text(text, plain) or compact_dates(text)
        if kept is not None:
            return kept
    if is_bare and not _may_group_by_points(text, options, evidence):
        findings = list(_open_points(text, options, evidence))
        return Decision(reading, "every cell is a number", findings=findings, values=bare)
    return _clock(text, least) or _written_number(text, options, evidence, least)


def may_be_numbers(text: pl.Series) -> bool:
    """Tell by some cells whether a column can be numbers, for most columns of text cannot."""
    sample = in_ascii(sample_of(text))
    is_number = sample.cast(pl.Float64, strict=False).is_not_null()
    if is_number.sum() < 0.5 * len(sample):
        is_number |= parts_of(sample).body.is_not_null()
        if sample.str.contains(":", literal=True).any():
            is_number |= clock_seconds(sample).is_not_null()
    return bool(is_number.sum() >= 0.5 * len(sample))


def _may_group_by_points(text: pl.Series, options: ReadingOptions, evidence: FileEvidence) -> bool:
    """Tell whether points could be marks between thousands, for the decimal sign is a comma."""
    return "," in (options.decimal, evidence.decimal) and bool(text.str.contains(".", literal=True).any())


def _open_points(text: pl.Series, options: ReadingOptions, evidence: FileEvidence) -> Iterable[Finding]:
    """Say where points before three digits could group them: in a file with semicolons, if no cell tells."""
    if evidence.delimiter != ";" or options.decimal is not None or evidence.decimal is not None:
        return
    found = evidence_of(parts_of(text).body)
    if found.open_point and found.decimal is None:
        cell = text.filter(text.str.contains(".", literal=True).fill_null(False))[0]
        sentence = f"{text.name}: the points could be either, and are read as decimal signs ({cell} is {float(cell)})."
        yield Finding(code="open_decimal", columns=(text.name,), sentence=sentence, setting='data.decimal: ","',
                      is_warning=True)  # fmt: skip


def _clock(text: pl.Series, least: float) -> Decision | None:
    """Decide on a column of times of day or durations."""
    if not text.str.contains(":", literal=True).any():
        return None
    values = clock_seconds(text)
    if not mostly_fits(text, values, least):
        return None
    unfit = unfit_cells(text, values)
    row = int(values.is_not_null().arg_true()[0])
    sentence = f"{text.name} is times of day or durations: read as seconds ({text[row]} is {values[row] + 0.0:.15g})."
    setting = as_type(text.name, "category")
    finding = Finding(code="clock", columns=(text.name,), sentence=sentence, setting=setting)
    every = "every cell is a time of day or a duration"
    why = every if unfit is None else f"times of day or durations but for {unfit}"
    return Decision(ColumnReading(name=text.name, kind="number", is_clock=True), why, unfit, [finding])


def _written_number(text: pl.Series, options: ReadingOptions, evidence: FileEvidence, least: float) -> Decision | None:
    """Decide on a column of numbers with marks, units or stray cells."""
    parts = parts_of(in_ascii(text))
    found = evidence_of(parts.body)
    decimal, is_guess = _decimal(found, options, evidence)
    reading = ColumnReading(
        name=text.name,
        kind="number",
        decimal=decimal,
        thousands=marks_in(parts.body, decimal),
        unit=_unit(parts.unit, parts.body),
    )
    values = to_numbers(text, reading)
    if not mostly_fits(text, values, least):
        return None
    unfit = unfit_cells(text, values)
    findings = [
        *_mark_findings(text, reading, found, is_guess=is_guess),
        *_unit_findings(text, parts.unit, reading),
        *_negative_findings(text, reading, values),
    ]
    why = "every cell is a number" if unfit is None else f"numbers but for {unfit}"
    return Decision(reading, why, unfit, findings, values=values)


def _unit(units: pl.Series, body: pl.Series) -> str:
    """Choose the unit that nearly all cells with one have; none where they have several."""
    there = units.filter(body.is_not_null() & (units != ""))
    if not len(there):
        return ""
    same = folded(there)
    most = same.value_counts(sort=True).row(0)[0]
    own = there.filter(same == most)
    is_main = len(own) >= _UNIT_SHARE * len(there)
    is_stray = len(there) > len(own) and len(there) < 0.5 * body.count()  # as 12a and 3b among 12, 14, 15
    return str(own.value_counts(sort=True).row(0)[0]) if is_main and not is_stray else ""


def _decimal(found: Evidence, options: ReadingOptions, evidence: FileEvidence) -> tuple[Decimal, bool]:
    """Choose the decimal sign of a column, and tell whether it is a guess."""
    if options.decimal is not None:
        return options.decimal, False
    if found.decimal is not None:
        return found.decimal, False
    if evidence.decimal is not None:
        return evidence.decimal, False
    if found.open_comma:
        return ("," if evidence.delimiter == ";" else "."), True
    return ".", False


def _mark_findings(text: pl.Series, reading: ColumnReading, found: Evidence, *, is_guess: bool) -> Iterable[Finding]:
    """Say how marks between digits were read, with an example."""
    name = text.name
    shown = _example(text, reading, r"\d[.,\s'\x{2019}\x{00a0}\x{202f}\x{066b}\x{066c}]+\d")
    other = f'data.decimal: "{"," if reading.decimal == "." else "."}"'
    if is_guess or (found.open_comma and found.decimal is None):
        what = "a decimal sign" if reading.decimal == "," else "marks of thousands"
        sentence = f"{name}: the commas could be either, and are read as {what}{shown}."
        yield Finding(code="open_decimal", columns=(name,), sentence=sentence, setting=other, is_warning=is_guess)
    elif reading.decimal == "," and text.str.contains(",", literal=True).any():
        sentence = f"{name} has decimal commas{shown}."
        yield Finding(code="decimal_comma", columns=(name,), sentence=sentence, setting='data.decimal: "."')
    elif reading.thousands:
        sentence = f"{name} has marks between thousands, which are taken away{shown}."
        yield Finding(code="thousands", columns=(name,), sentence=sentence, setting=other)


def _unit_findings(text: pl.Series, units: pl.Series, reading: ColumnReading) -> Iterable[Finding]:
    """Say which unit was taken away, and how many cells are without it."""
    if not reading.unit:
        return
    n_bare = int((units == "").filter(text.is_not_null()).sum() or 0)
    bare = f"; {n_bare:,} cells without it are read alike" if n_bare else ""
    shown = _example(text, reading, r"[^\d.,\-]")
    sentence = f"{text.name} is in {reading.unit}, which is taken away{shown}{bare}."
    yield Finding(code="unit", columns=(text.name,), sentence=sentence,
                  setting=as_type(text.name, "category"),
                  is_warning=bool(n_bare) and reading.unit in "%‰")  # fmt: skip


def _negative_findings(text: pl.Series, reading: ColumnReading, values: pl.Series) -> Iterable[Finding]:
    """Say where brackets or a minus sign at the end make numbers negative."""
    odd = text.filter((values.is_not_null() & text.str.contains(r"^\(|-\)?$")).fill_null(False))
    if len(odd):
        sentence = f"{text.name} marks negative numbers as accounts do ({odd[0]} is {_shown(odd[0], reading)})."
        yield Finding(code="negatives", columns=(text.name,), sentence=sentence,
                      setting=as_type(text.name, "category"))  # fmt: skip


def _example(text: pl.Series, reading: ColumnReading, pattern: str) -> str:
    cells = text.filter(text.str.contains(pattern).fill_null(False)).head(1).to_list()
    return f" ({cells[0][:40]} is {_shown(cells[0], reading)})" if cells else ""


def _shown(cell: str, reading: ColumnReading) -> str:
    value = to_numbers(pl.Series("x", [cell]), reading)[0]
    return "missing" if value is None else f"{value:.15g}"


def several_units(units: pl.Series) -> list[str]:
    """List the different units, kg and KG once."""
    first: dict[str, str] = {}
    for unit in units.filter(units != "").unique(maintain_order=True):
        first.setdefault(fold(unit), unit)
    return list(first.values())
