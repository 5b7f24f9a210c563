"""Find rows that are no rows of the table: a repeated header, a second header, a footer with totals."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from foldstep.service.contract.columns import CategoryColumn, ColumnValues, NumberColumn
from foldstep.service.contract.dataset import Finding
from foldstep.service.data.cells import Unfit
from foldstep.service.data.sources import refusal

_TOTAL_WORDS = re.compile(
    r"^(grand |sub-?)?(total|totals|sum|summe|gesamt|insgesamt|somme|totale|suma|mean|average|mittelwert|moyenne|Σ)\b",
    re.IGNORECASE,
)
_LEAST_ROWS = 4
_MOST_HEADERS = 3
"""Lines below the header that may tell more of the columns, as survey tools write them."""


def check_rows(columns: Mapping[str, ColumnValues], unfit: Mapping[str, Unfit], n_rows: int) -> list[Finding]:
    """Look for rows that are none.

    Args:
        columns: the table.
        unfit: of columns of numbers or dates, the cells that are neither.
        n_rows: of the table.

    Raises:
        DatasetUnreadable: `repeated_header`, `two_headers`, `totals_row`.
    """
    _check_repeated_header(columns, unfit)
    _check_second_header(columns, unfit)
    return _check_totals(columns, unfit, n_rows)


def _check_repeated_header(columns: Mapping[str, ColumnValues], unfit: Mapping[str, Unfit]) -> None:
    """Refuse a row that holds the columns' own names, as where files were put one after the other."""
    suspects = [name for name in columns if _holds(name, columns[name], unfit.get(name))]
    texts = [(name, column) for name in suspects if isinstance(column := columns[name], CategoryColumn)]
    if texts and not np.logical_and.reduce([c.codes == c.labels.index(name) for name, c in texts]).any():
        return  # not in one row
    if len(suspects) >= max(2, len(columns) // 2) or (suspects and len(suspects) == len(columns)):
        names = ", ".join(suspects[:5])
        raise refusal(
            "repeated_header",
            expected="the columns' names in the first line alone",
            got=f"them once more among the rows ({names})",
            hint="remove the other header lines",
        )


def _holds(name: str, column: ColumnValues, unfit: Unfit | None) -> bool:
    if unfit is not None:
        return name in unfit.examples
    return isinstance(column, CategoryColumn) and name in column.labels


def _check_second_header(columns: Mapping[str, ColumnValues], unfit: Mapping[str, Unfit]) -> None:
    """Refuse a first row of text above columns of numbers, as a second header or a line of units."""
    first = [name for name, cells in unfit.items() if cells.last_row == cells.count - 1 < _MOST_HEADERS]
    n_numbers = sum(not isinstance(column, CategoryColumn) for column in columns.values())
    if len(first) >= 2 and len(first) >= 0.5 * n_numbers:
        shown = ", ".join(unfit[name].examples[0] for name in first[:4])
        got = f"text in the first row of columns of numbers ({shown}), which seems to be a second header or units"
        raise refusal("two_headers", expected="one line of names, then rows", got=got, hint="remove that line")


def _check_totals(columns: Mapping[str, ColumnValues], unfit: Mapping[str, Unfit], n_rows: int) -> list[Finding]:
    """Refuse a last row that sums up those above; say where it might be one."""
    if n_rows < _LEAST_ROWS:
        return []
    summed = [n for n, c in columns.items() if isinstance(c, NumberColumn) and _sums_up(c.values)]
    word = _total_word(columns, unfit, n_rows)
    is_bare = bool(summed) and _is_empty_besides(columns, summed)
    if (word is not None and summed) or len(summed) >= 2 or is_bare or (word in _unfit_examples(unfit, n_rows)):
        what = f"{word!r}" if word else "the sums of " + ", ".join(summed[:3])
        raise refusal("totals_row", expected="rows alone", got=f"a last row that seems to hold totals ({what})",
                      hint="remove that line")  # fmt: skip
    if word is None:
        return []
    sentence = f"The last row says {word!r}: if it sums up the others, remove it."
    return [Finding(code="totals_row", columns=(), sentence=sentence, is_warning=True)]


def _is_empty_besides(columns: Mapping[str, ColumnValues], summed: list[str]) -> bool:
    """Tell whether the last row has values in the given columns alone."""
    others = [column for name, column in columns.items() if name not in summed]
    return bool(others) and all(
        column.codes[-1] < 0 if isinstance(column, CategoryColumn) else np.isnan(column.values[-1]) for column in others
    )


def _sums_up(values: np.ndarray) -> bool:
    above, last = values[:-1], values[-1]
    present = above[~np.isnan(above)]
    if np.isnan(last) or np.count_nonzero(present) < 3 or not np.isfinite(present).all():
        return False
    total = float(present.sum())
    return bool(abs(total) > 0 and abs(last - total) <= 1e-6 * abs(total))


def _unfit_examples(unfit: Mapping[str, Unfit], n_rows: int) -> Sequence[str | None]:
    return [cell for cells in unfit.values() if cells.last_row == n_rows - 1 for cell in cells.examples]


def _total_word(columns: Mapping[str, ColumnValues], unfit: Mapping[str, Unfit], n_rows: int) -> str | None:
    last = [
        column.labels[column.codes[-1]]
        for column in columns.values()
        if isinstance(column, CategoryColumn) and column.codes[-1] >= 0
    ]
    words = [*last, *(cell for cell in _unfit_examples(unfit, n_rows) if cell)]
    return next((word for word in words if _TOTAL_WORDS.match(word)), None)
