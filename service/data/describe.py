"""Describe the columns of a table: what they hold, what becomes of each as a feature, and what is odd about them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby
from math import prod

import numpy as np
import numpy.typing as npt
import polars as pl

from foldstep.service.contract.columns import CategoryColumn, ColumnValues, DateColumn, NumberColumn
from foldstep.service.contract.dataset import Column, Fate, Finding
from foldstep.service.contract.features import HUGE, MAX_CATEGORIES, kept_categories, n_inputs
from foldstep.service.contract.names import MOST_NAMES, listed
from foldstep.service.contract.reading import ReadingOptions
from foldstep.service.data.read import ReadColumn, ReadTable
from foldstep.service.data.sayings import as_type, ignoring, quoted
from foldstep.service.data.sentinels import sentinels

_COMMONEST = 5
_LEAST_ROWS = 20
"""Below this many rows, values that are all different say nothing."""
_ID_NAME = re.compile(r"(^|[_\s.-])(id|ids|uuid|guid|key|index|idx|no|nr|nummer|number|row|rownum)$", re.IGNORECASE)
_LONGEST = 40
_MORE = 5
"""Times as many repeated rows as if the columns' values were put together by chance."""


def describe(name: str, column: ReadColumn, options: ReadingOptions) -> Column:
    """Describe one column."""
    values = column.values
    n_missing, n_distinct = n_missing_of(values), _n_distinct(values)
    low, high = _ends(values)
    is_different = n_missing == 0 and n_distinct == _n_rows(values)
    fate, why = _fate(name, column, n_distinct, n_missing, options, is_different=is_different)
    return Column(
        name=name,
        kind=column.reading.kind,
        n_missing=n_missing,
        n_distinct=n_distinct,
        n_inputs=n_inputs(values),
        fate=fate,
        why=why,
        low=low,
        high=high,
        commonest=_commonest(values),
        reading=column.reading,
    )


def n_missing_of(values: ColumnValues) -> int:
    """Count the rows without a value."""
    return int((values.codes < 0).sum() if isinstance(values, CategoryColumn) else np.isnan(values.values).sum())


def _n_distinct(values: ColumnValues) -> int:
    if isinstance(values, CategoryColumn):
        return len(values.labels)
    present = pl.Series(values.values).drop_nans()
    return present.n_unique()


def _ends(values: ColumnValues) -> tuple[str | None, str | None]:
    if isinstance(values, CategoryColumn) or np.isnan(values.values).all():
        return None, None
    ends = float(np.nanmin(values.values)), float(np.nanmax(values.values))
    if isinstance(values, NumberColumn):
        return f"{ends[0] + 0.0:.6g}", f"{ends[1] + 0.0:.6g}"
    low, high = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=end) for end in ends)
    is_day = all(end % 86_400 == 0 for end in ends)
    return (str(low.date()), str(high.date())) if is_day else (f"{low:%Y-%m-%d %H:%M}", f"{high:%Y-%m-%d %H:%M}")


def _commonest(values: ColumnValues) -> tuple[tuple[str, int], ...]:
    if not isinstance(values, CategoryColumn):
        return ()
    counts = np.bincount(values.codes[values.codes >= 0], minlength=len(values.labels))
    order = np.argsort(-counts, kind="stable")[:_COMMONEST]
    return tuple((values.labels[i][:80], int(counts[i])) for i in order)


def _fate(
    name: str, column: ReadColumn, n_distinct: int, n_missing: int, options: ReadingOptions, *, is_different: bool
) -> tuple[Fate, str]:
    """Decide what becomes of a column as a feature, and say why."""
    said = options.types.get(name)
    if said == "ignore":
        return "ignored", "data.types says so"
    if n_distinct == 0:
        return "empty", "no row has a value"
    if n_distinct == 1 and n_missing == 0:
        return "constant", "every row has the same value"
    if said is None and column.is_unnamed and is_different and _may_be_index(column.values):
        what = "whole numbers that differ" if isinstance(column.values, NumberColumn) else "a text that differs"
        return "index", f"no name, and {what} in every row"
    if isinstance(column.values, CategoryColumn) and not kept_categories(column.values, column.values.codes)[0]:
        return "rare", "no text is frequent enough to learn from"
    return column.reading.kind, column.why


def _may_be_index(values: ColumnValues) -> bool:
    return isinstance(values, CategoryColumn) or _is_whole(values)


def _is_whole(values: ColumnValues) -> bool:
    """Tell whether a column is whole numbers, all present."""
    return isinstance(values, NumberColumn) and bool(np.isfinite(values.values).all()) and not (values.values % 1).any()


def _n_rows(values: ColumnValues) -> int:
    return len(values.codes if isinstance(values, CategoryColumn) else values.values)


def table_findings(table: ReadTable, columns: list[Column]) -> list[Finding]:
    """Collect what is odd about a table's columns and rows, whatever the target."""
    found = list(_left_out(columns))
    for column in columns:
        found += _column_findings(column, table.columns[column.name].values, table.n_rows)
    return [*found, *_same_columns(table, columns), *_repeated_rows(table, columns)]


def _left_out(columns: list[Column]) -> Iterator[Finding]:
    """Say which columns are left out, one sentence for each reason."""
    order = ("index", "constant", "empty", "rare", "ignored")
    out = sorted((c for c in columns if c.fate in order), key=lambda c: order.index(str(c.fate)))
    for fate, group in groupby(out, key=lambda c: c.fate):
        members = list(group)
        names = tuple(c.name for c in members)
        noun = "is" if len(names) == 1 else "are"
        sentence = f"{listed(names)} {noun} left out: {_reason(members)}."
        setting = as_type(names[0], members[0].kind) if fate == "index" else None
        yield Finding(code=str(fate), columns=names, sentence=sentence, setting=setting)


def _reason(members: list[Column]) -> str:
    if members[0].fate != "rare":
        return members[0].why
    examples = "; ".join(f"{c.name} has {c.n_distinct:,} different ones" for c in members[:3])
    return f"{members[0].why} ({examples})"


def _column_findings(column: Column, values: ColumnValues, n_rows: int) -> Iterator[Finding]:
    if not column.is_used or column.fate is None:
        return
    if n_rows >= _LEAST_ROWS and column.n_missing == 0 and column.n_distinct == n_rows:
        yield from _identifier(column, values)
    if not isinstance(values, CategoryColumn):
        yield from sentinels(column, values)
        yield from _infinite(column.name, values)
        return
    yield from _merged(column.name, values)
    yield from _spellings(column.name, values)


def _infinite(name: str, values: NumberColumn | DateColumn) -> Iterator[Finding]:
    """Say how many numbers are infinite, or too great to calculate with: they count as missing."""
    n = int((np.abs(values.values) > HUGE).sum())
    if n:
        what = "1 cell is" if n == 1 else f"{n:,} cells are"
        sentence = f"{name}: {what} infinite or beyond {HUGE:g}, and counted as missing when it is a feature."
        setting = as_type(name, "category")
        yield Finding(code="infinite", columns=(name,), sentence=sentence, setting=setting, is_warning=True)


def _identifier(column: Column, values: ColumnValues) -> Iterator[Finding]:
    """Warn of a named column that is different in every row: numbers that count, names, codes."""
    if isinstance(values, DateColumn):
        return
    setting = ignoring(column.name)
    if isinstance(values, NumberColumn):
        if not _is_whole(values):
            return
        steps = np.diff(values.values)
        counts = bool((steps == 1).all() or (steps == -1).all())
        what = "counts the rows" if counts else "is a whole number that differs in every row"
        is_warning = counts or bool((steps > 0).all()) or _ID_NAME.search(column.name) is not None
    else:
        what, is_warning = "is different in every row", True
    sentence = f"{column.name} {what}: if it is an identifier, leave it out."
    yield Finding(code="identifier", columns=(column.name,), sentence=sentence, setting=setting, is_warning=is_warning)


def _merged(name: str, values: CategoryColumn) -> Iterator[Finding]:
    """Say how many categories share one input."""
    kept, has_other = kept_categories(values, values.codes)
    if not has_other or len(kept) == len(values.labels) - 1:
        return  # a single rare one has an input of its own in effect
    counts = np.bincount(values.codes[values.codes >= 0], minlength=len(values.labels))
    n_rows = int(counts.sum() - counts[kept].sum())
    why = f"the {MAX_CATEGORIES} commonest" if len(kept) == MAX_CATEGORIES else f"the {len(kept)} frequent ones"
    sentence = (
        f"{name} has {len(values.labels):,} different texts: {why} have inputs of their own, "
        f"the other {len(values.labels) - len(kept):,} (in {n_rows:,} rows) share one."
    )
    yield Finding(code="rare_categories", columns=(name,), sentence=sentence, setting=ignoring(name))


def _spellings(name: str, values: CategoryColumn) -> Iterator[Finding]:
    """Warn of texts that differ in case or spaces alone: they are different categories."""
    if len(values.labels) > 10_000:
        return
    plain = [" ".join(label.casefold().split()) for label in values.labels]
    first: dict[str, str] = {}
    pairs = []
    for label, folded in zip(values.labels, plain, strict=True):
        if folded in first:
            pairs.append(f"{first[folded][:_LONGEST]!r} and {label[:_LONGEST]!r}")
        else:
            first[folded] = label
    if pairs:
        sentence = f"{name} has texts that differ in case or spaces alone and stay apart: {listed(pairs[:3])}."
        yield Finding(code="spellings", columns=(name,), sentence=sentence, is_warning=True)


def _bits(values: ColumnValues) -> npt.NDArray[np.uint64]:
    """Give each row's value as 64 bits; equal values have equal bits."""
    if isinstance(values, CategoryColumn):
        return values.codes.astype(np.int64).view(np.uint64)
    return np.where(np.isnan(values.values), np.nan, values.values + 0.0).view(np.uint64)


def _same_columns(table: ReadTable, columns: list[Column]) -> Iterator[Finding]:
    """Say which columns have the same values as an earlier one."""
    alike: dict[int, list[Column]] = {}
    for column in columns:
        if column.is_used and table.n_rows >= _LEAST_ROWS:
            key = hash(_bits(table.columns[column.name].values).tobytes())
            alike.setdefault(key, []).append(column)
    for first, *others in alike.values():
        if others:
            names = tuple(column.name for column in others)
            verb = "has" if len(names) == 1 else "have"
            what = f"{verb} the same values as"
            if first.kind == "category":
                what = f"{'tells' if len(names) == 1 else 'tell'} the same as"
            sentence = f"{listed(names)} {what} {first.name} in every row."
            setting = f"data.ignore: [{', '.join(map(quoted, names[:MOST_NAMES]))}{', …' * (len(names) > MOST_NAMES)}]"
            yield Finding(code="same_column", columns=(first.name, *names), sentence=sentence, setting=setting)


def _repeated_rows(table: ReadTable, columns: list[Column]) -> Iterator[Finding]:
    """Say how many rows repeat another; a warning where they are many more than by chance."""
    n_possible = prod(max(1, min(column.n_distinct, table.n_rows)) for column in columns)
    n_repeated = table.n_rows - len(np.unique(row_hashes({n: c.values for n, c in table.columns.items()})))
    if n_repeated:
        share = n_repeated / table.n_rows
        noun = "row repeats another row" if n_repeated == 1 else "rows repeat another row"
        which = f"{n_repeated:,} {noun} in every column ({100 * share:.2g} % of all)"
        sentence = f"{which}: copies on both sides of a fold flatter its score."
        yield Finding(
            code="repeated_rows",
            columns=(),
            sentence=sentence,
            is_warning=share >= 0.01 and n_repeated > _MORE * table.n_rows**2 / (2 * n_possible),
        )


def row_hashes(columns: Mapping[str, ColumnValues]) -> npt.NDArray[np.uint64]:
    """Hash each row, shape (rows,): equal rows have equal hashes, and others different ones but once in 2**64."""
    hashes: npt.NDArray[np.uint64] | None = None
    for values in columns.values():
        bits = _bits(values)
        mixed = bits if hashes is None else bits ^ (hashes << np.uint64(7)) ^ (hashes >> np.uint64(57))
        mixed = mixed * np.uint64(0x9E3779B97F4A7C15)
        hashes = mixed ^ (mixed >> np.uint64(32))
    assert hashes is not None
    return hashes
