"""Which columns a network sees, and how many inputs each becomes: rules that master and worker apply alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from foldstep.service.contract.columns import CategoryColumn, ColumnValues
from foldstep.service.contract.dataset import DatasetDescription
from foldstep.service.contract.spec import ColumnRef, CvSpec, DataSpec

MAX_CATEGORIES = 64  # categories of a column with an input of their own; the most frequent ones
RARE_COUNT = 10  # seen less often, a category is rare; a hundredth of the rows where that is less
HUGE = 1e150  # beyond it a square overflows float64: such a value counts as missing, as infinity does


def feature_names(columns: list[str], data: DataSpec, cv: CvSpec) -> list[str]:
    """The columns that a network sees: all but the target, ignored ones, and those that only say how to split.

    The time column is none, either: validation and test rows lie outside the times trained on, where a network
    knows nothing. Who wants it as a feature gives the data a copy of it. Nor is the exposure, which enters a count's
    mean as it is.
    """
    test = data.test.column if isinstance(data.test, ColumnRef) else None
    no_features = {data.target, data.exposure, *data.ignore, cv.column, cv.group, cv.time, test}
    return [name for name in columns if name not in no_features]


def is_usable(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which numbers are there and not huge."""
    return np.abs(values) <= HUGE  # False for NaN, too


def kept_categories(column: CategoryColumn, codes: npt.NDArray[np.int32]) -> tuple[list[int], bool]:
    """The codes of the categories with an input of their own, most frequent first; whether others share one.

    Args:
        column: the column.
        codes: those of the rows that it is fitted on.
    """
    counts = np.bincount(codes[codes >= 0], minlength=len(column.labels))
    at_least = max(1, min(RARE_COUNT, len(codes) // 100))
    by_frequency = sorted(np.flatnonzero(counts).tolist(), key=lambda code: (-counts[code], code))
    kept = [code for code in by_frequency[:MAX_CATEGORIES] if counts[code] >= at_least]
    return kept, len(kept) < len(by_frequency)


def n_inputs(column: ColumnValues) -> int:
    """Inputs that a column becomes when it is fitted on all of its rows."""
    if isinstance(column, CategoryColumn):
        kept, has_other = kept_categories(column, column.codes)
        return len(kept) + has_other + bool((column.codes < 0).any())
    usable = is_usable(column.values)
    return int(usable.any()) * (1 + (not usable.all()))


def network_ends(description: DatasetDescription, data: DataSpec, cv: CvSpec) -> tuple[int, int] | None:
    """Count the input and output units of a search's networks.

    Counted over all rows: a fold whose training part lacks a rare category or a missing value has fewer inputs.

    Args:
        description: of the data.
        data: with `target` and `task` filled in.
        cv: the spec's.

    Returns:
        None where the data was read by a version that did not count.
    """
    columns = {column.name: column for column in description.columns}
    counts = [columns[name].n_inputs for name in feature_names(list(columns), data, cv)]
    known = [n for n in counts if n is not None]
    if len(known) < len(counts) or data.target is None:
        return None
    return sum(known), columns[data.target].n_distinct if data.task == "classification" else 1
