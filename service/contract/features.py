"""The columns that a network gets as features, and the inputs that each becomes: rules shared by master and worker."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from foldstep.service.contract.columns import CategoryColumn, ColumnValues
from foldstep.service.contract.dataset import DatasetDescription
from foldstep.service.contract.spec import ColumnRef, CvSpec, DataSpec

MAX_CATEGORIES = 64  # greatest number of a column's categories with their own input; the most frequent ones
RARE_COUNT = 10  # a category with fewer rows is rare; the limit is a hundredth of the rows where that is less
HUGE = 1e150  # the square of a greater value may overflow float64: it counts as missing, as infinity does


def feature_names(columns: list[str], data: DataSpec, cv: CvSpec) -> list[str]:
    """List the columns that are features: all but the target, ignored columns, the exposure, and columns for splits.

    The time column is no feature because validation and test rows lie outside the times trained on, where a network
    cannot predict; to use it as a feature, add a copy of it to the data. The exposure is no feature because it is a
    factor of a count's mean.
    """
    test = data.test.column if isinstance(data.test, ColumnRef) else None
    no_features = {data.target, data.exposure, *data.ignore, cv.column, cv.group, cv.time, test}
    return [name for name in columns if name not in no_features]


def is_usable(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Tell for each number whether it is present and at most `HUGE` in size; shape of `values`."""
    return np.abs(values) <= HUGE  # False for NaN, too


def kept_categories(column: CategoryColumn, codes: npt.NDArray[np.int32]) -> tuple[list[int], bool]:
    """List the codes of categories with their own input, most frequent first, and tell whether the others share one.

    Args:
        column: the column.
        codes: the codes of the rows that it is fitted on, shape (rows,).
    """
    counts = np.bincount(codes[codes >= 0], minlength=len(column.labels))
    at_least = max(1, min(RARE_COUNT, len(codes) // 100))
    by_frequency = sorted(np.flatnonzero(counts).tolist(), key=lambda code: (-counts[code], code))
    kept = [code for code in by_frequency[:MAX_CATEGORIES] if counts[code] >= at_least]
    return kept, len(kept) < len(by_frequency)


def n_inputs(column: ColumnValues) -> int:
    """Count the network inputs that a column becomes when it is fitted on all of its rows."""
    if isinstance(column, CategoryColumn):
        kept, has_other = kept_categories(column, column.codes)
        return len(kept) + has_other + bool((column.codes < 0).any())
    usable = is_usable(column.values)
    return int(usable.any()) * (1 + (not usable.all()))


def network_ends(description: DatasetDescription, data: DataSpec, cv: CvSpec) -> tuple[int, int] | None:
    """Count the input and output units of a search's networks.

    All rows are counted: a fold whose training part lacks a rare category or a missing value has fewer inputs.

    Args:
        description: the description of the data.
        data: the spec's data, with `target` and `task` filled in.
        cv: the spec's cross-validation.

    Returns:
        Inputs and outputs; None where the data was read by a version that did not count inputs.
    """
    columns = {column.name: column for column in description.columns}
    counts = [columns[name].n_inputs for name in feature_names(list(columns), data, cv)]
    known = [n for n in counts if n is not None]
    if len(known) < len(counts) or data.target is None:
        return None
    return sum(known), columns[data.target].n_distinct if data.task == "classification" else 1
