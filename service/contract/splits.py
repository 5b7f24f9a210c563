"""The rules by which rows are held out, so that the master can foretell what the worker will do."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from foldstep.service.contract.columns import CategoryColumn, ColumnValues

TEST_WORDS = frozenset({"test", "true", "1"})
"""What a text column of the test part says, in any case, for a row that belongs to it; in a number column it is 1."""


def n_held_out(count: int, share: float) -> int:
    """How many of `count` rows (of a class, where classes are kept in proportion) a share holds out.

    At least one on either side where there are two rows; none of a single row.
    """
    return min(max(round(count * share), 1), count - 1) if count > 1 else 0


def marked_as_test(column: ColumnValues) -> npt.NDArray[np.bool_]:
    """Which rows a column marks as test rows; see `TEST_WORDS`."""
    if isinstance(column, CategoryColumn):
        marked = [i for i, label in enumerate(column.labels) if label.lower() in TEST_WORDS]
        return np.isin(column.codes, marked)
    return np.equal(column.values, 1.0)
