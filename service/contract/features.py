"""The columns that a network gets as features, and the inputs that each becomes: rules shared by master and worker."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from foldstep.service.contract.columns import CategoryColumn, ColumnValues, DateColumn
from foldstep.service.contract.dataset import DatasetDescription
from foldstep.service.contract.spec import ColumnRef, CvSpec, DataSpec

MAX_CATEGORIES = 64  # greatest number of a column's categories with their own input; the most frequent ones
RARE_COUNT = 10  # a category with fewer rows is rare; the limit is a hundredth of the rows where that is less
DAY_S = 86_400.0
HUGE = 1e150  # the square of a greater value may overflow float64: it counts as missing, as infinity does


def feature_names(columns: list[str], data: DataSpec, cv: CvSpec) -> list[str]:
    """List the columns that are features: all but target, ignored columns, exposure, weight, and columns for splits.

    The time column is no feature because validation and test rows lie outside the times trained on, where a network
    cannot predict; to use it as a feature, add a copy of it to the data. The exposure is no feature because it is a
    factor of a count's mean; the weight is none because it says how a row was drawn, not what it is.
    """
    test = data.test.column if isinstance(data.test, ColumnRef) else None
    no_features = {*data.targets, data.exposure, data.weight, *data.ignore, cv.column, cv.group, cv.time, test}
    return [name for name in columns if name not in no_features]


def features_of(description: DatasetDescription, data: DataSpec, cv: CvSpec) -> list[str]:
    """List the features of a search: those of `feature_names` that the description does not leave out."""
    used = {column.name for column in description.columns if column.is_used}
    return [name for name in feature_names([c.name for c in description.columns], data, cv) if name in used]


def is_usable(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Tell for each number whether it is present and at most `HUGE` in size; shape of `values`."""
    return np.abs(values) <= HUGE  # False for NaN, too


def kept_categories(
    column: CategoryColumn, codes: npt.NDArray[np.int32], min_count: int = 0, most: int = MAX_CATEGORIES
) -> tuple[list[int], bool]:
    """List the codes of categories with their own input, most frequent first, and tell whether the others share one.

    Args:
        column: the column.
        codes: the codes of the rows that it is fitted on, shape (rows,).
        min_count: a category with fewer rows is rare; 0 for `RARE_COUNT`, or a hundredth of the rows if that is less.
        most: the greatest number of categories.
    """
    counts = np.bincount(codes[codes >= 0], minlength=len(column.labels))
    at_least = min_count or max(1, min(RARE_COUNT, len(codes) // 100))
    by_frequency = sorted(np.flatnonzero(counts).tolist(), key=lambda code: (-counts[code], code))
    kept = [code for code in by_frequency[:most] if counts[code] >= at_least]
    return kept, len(kept) < len(by_frequency)


def n_inputs(column: ColumnValues) -> int:
    """Count the network inputs that a column becomes when it is fitted on all of its rows."""
    if isinstance(column, CategoryColumn):
        kept, has_other = kept_categories(column, column.codes)
        return len(kept) + has_other + bool((column.codes < 0).any())
    usable = is_usable(column.values)
    parts = len(date_parts(column.values[usable])) if isinstance(column, DateColumn) else 1
    return int(usable.any()) * (parts + (not usable.all()))


def date_parts(seconds: npt.NDArray[np.float64]) -> list[str]:
    """List the numbers that dates become: those of `DATE_PARTS`, the hour only where some date has a time of day."""
    has_times = bool((seconds % DAY_S != 0).any())
    return [part for part in DATE_PARTS if part != "hour" or has_times]


def date_part(seconds: npt.NDArray[np.float64], part: str) -> npt.NDArray[np.float64]:
    """Compute one number of each date; NaN where the date is missing.

    Args:
        seconds: since 1970 in UTC, NaN for missing.
        part: a name of `DATE_PARTS`.
    """
    return DATE_PARTS[part](seconds)


def _of_calendar(unit: str, within: str) -> Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    """Make the function that counts whole units since the beginning of a larger unit, from 1."""

    def count(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        is_missing = np.isnan(seconds)
        times = np.where(is_missing, 0.0, np.floor(seconds)).astype(np.int64).astype("datetime64[s]")
        begun = times.astype(f"datetime64[{within}]").astype(f"datetime64[{unit}]")
        counted = (times.astype(f"datetime64[{unit}]") - begun).astype(np.float64) + 1
        return np.where(is_missing, np.nan, counted)

    return count


def _year(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    is_missing = np.isnan(seconds)
    times = np.where(is_missing, 0.0, np.floor(seconds)).astype(np.int64).astype("datetime64[s]")
    return np.where(is_missing, np.nan, times.astype("datetime64[Y]").astype(np.int64) + 1970.0)


DATE_PARTS: dict[str, Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]] = {
    "days": lambda seconds: seconds / DAY_S,
    "year": _year,
    "month": _of_calendar("M", "Y"),
    "day_of_year": _of_calendar("D", "Y"),
    "day_of_week": lambda seconds: (np.floor(seconds / DAY_S) + 3) % 7 + 1,  # 1970-01-01 was a Thursday, the fourth day
    "hour": lambda seconds: seconds % DAY_S / 3600,
}
"""The numbers that a date becomes; `days` since 1970, with the time of day as a fraction. Monday is day 1."""


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
    counts = [columns[name].n_inputs for name in features_of(description, data, cv)]
    known = [n for n in counts if n is not None]
    if len(known) < len(counts) or data.target is None:
        return None
    if data.task == "classification":
        return sum(known), columns[data.targets[0]].n_distinct
    return sum(known), len(data.quantiles or data.targets)
