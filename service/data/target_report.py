"""Report what is to be known about a column as the target: leaks, unequal classes, a long tail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from foldstep.models.catalog.metrics import METRICS, metrics_of
from foldstep.service.contract.columns import (
    CategoryColumn,
    ColumnValues,
    DateColumn,
    class_labels,
    column_from_arrow,
)
from foldstep.service.contract.dataset import DataReport, DatasetDescription, Finding, TargetReport
from foldstep.service.contract.errors import InvalidInput, NotFound
from foldstep.service.contract.hints import nearest
from foldstep.service.contract.names import listed
from foldstep.service.data.sayings import ignoring
from foldstep.service.data.sources import BUNDLED_TARGET

MAX_CLASSES_INFERRED = 20
"""A target with at most this many different values, all of them whole numbers, is treated as classes."""
LEAK_OF_CLASSES, LEAK_OF_NUMBERS = 0.99, 0.999
"""A feature that alone avoids this share of the constant answer's errors, or explains this share of the variance, on
rows that its rule was not made from, is named as a possible leak."""
UNEQUAL = 0.8
"""The share of the commonest class from which classes are said to be very unequal, for two classes."""
LONG_TAIL = 3.0
"""The skewness from which a target is said to have a long tail."""
_SAMPLE, _MOST_FEATURES, _MOST_LEAKS = 20_000, 1000, 2
_BINS = 256
_LEAST_ROWS = 30
_MOST_ROWS = 0.5
"""A feature with gaps is judged by the rows that have a value, if at least this share has one."""


def report(description: DatasetDescription, canonical_file: Path, targets: Sequence[str]) -> DataReport:
    """Report on a data set, and on one column of it as the target, or on several.

    Raises:
        NotFound: there is no such column.
        InvalidInput: a column is named twice.
    """
    if twice := next((name for name in targets if list(targets).count(name) > 1), None):
        raise InvalidInput(f"Expected each target once, got {twice} twice.")
    names = tuple(targets) or ((BUNDLED_TARGET,) if description.bundled else ())
    if not names:
        return DataReport(data=description, target=None)
    known = [column.name for column in description.columns]
    for name in names:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near}?" if near else "the columns are " + ", ".join(known[:20])
            raise NotFound(f"There is no column {name}; {hint}")
    features = [c.name for c in description.columns if c.is_used and c.name not in names]
    column_of = partial(column_in, pq.ParquetFile(canonical_file))
    of_each = (target_findings(name, column_of, features, of_several=len(names) > 1) for name in names)
    found = TargetReport(name=", ".join(names), names=names, findings=tuple(chain.from_iterable(of_each)))
    return DataReport(data=description, target=found)


def is_classes(target: ColumnValues) -> bool:
    """Tell whether a target is taken as classes where nothing is said: text, or few different whole numbers."""
    if isinstance(target, CategoryColumn):
        return True
    present = np.unique(target.values[~np.isnan(target.values)])
    return len(present) <= MAX_CLASSES_INFERRED and bool((present == np.floor(present)).all())


def target_findings(
    name: str, column_of: Callable[[str], ColumnValues], features: list[str], *, of_several: bool = False
) -> Iterator[Finding]:
    """Find what is odd about a target, and features that alone predict it almost perfectly.

    Args:
        name: of the target.
        column_of: gives a column by its name; one at a time, for they may be many and long.
        features: names of the columns that networks get as inputs.
        of_several: whether it is one of several targets.
    """
    target = column_of(name)
    classes = is_classes(target)
    yield from unusable(name, target, of_several=of_several)
    yield from _unequal(name, target) if classes else _long_tail(name, target)
    rows = _rows(target)
    if len(rows) < _LEAST_ROWS:
        return
    truth = _class_numbers(target)[rows] if classes else _numbers(target)[rows]
    for feature in features:
        values = _at(column_of(feature), rows)
        is_there = np.isfinite(values)
        share = _alone(values, truth, classes=classes)
        if is_there.mean() >= _MOST_ROWS:  # a copy with gaps is a copy
            share = max(share, _alone(values[is_there], truth[is_there], classes=classes))
        if share >= (LEAK_OF_CLASSES if classes else LEAK_OF_NUMBERS):
            sentence = f"{feature} alone predicts {name} almost perfectly ({100 * share:.4g} %): is it known in time?"
            yield Finding(
                code="leak", columns=(feature,), sentence=sentence, setting=ignoring(feature), is_warning=True
            )


def unusable(name: str, target: ColumnValues, *, of_several: bool = False) -> Iterator[Finding]:
    """Tell beforehand why a search on a target will be refused, or which rows it will leave out."""
    is_text = isinstance(target, CategoryColumn)
    values = target.codes if isinstance(target, CategoryColumn) else target.values
    is_missing = values < 0 if is_text else np.isnan(values)
    what = []
    n_missing = int(is_missing.sum())
    if n_missing and of_several:
        rows = f"{n_missing:,} row{'s' if n_missing > 1 else ''}"
        sentence = f"{name} has no value in {rows}, which a search with several targets leaves out."
        yield Finding(code="rows_left_out", columns=(name,), sentence=sentence, is_warning=True)
    elif n_missing:
        what.append(f"has no value in {n_missing:,} row{'s' if n_missing > 1 else ''}")
    if len(np.unique(values[~is_missing])) == 1:
        what.append("has the same value in every row that has one")
    if isinstance(target, DateColumn):
        what.append("is dates")
    elif not is_text and np.isinf(values).any():
        what.append("has an infinite value")
    for reason in what:
        sentence = f"{name} {reason}: a search with this target will be refused."
        yield Finding(code="unusable_target", columns=(name,), sentence=sentence, is_warning=True)


def leaks_among(features: list[str], target: str, canonical_file: Path) -> list[Finding]:
    """Find the features that alone predict the target almost perfectly; of very many the first are looked at, said."""
    found = target_findings(target, partial(column_in, pq.ParquetFile(canonical_file)), features[:_MOST_FEATURES])
    leaks = [finding for finding in found if finding.code == "leak"]
    if len(leaks) > _MOST_LEAKS:
        names = tuple(name for leak in leaks for name in leak.columns)
        sentence = f"Each of {listed(names)} predicts {target} almost perfectly alone: are they known in time?"
        leaks = [Finding(code="leak", columns=names, sentence=sentence, setting=ignoring(names[0]), is_warning=True)]
    if len(features) > _MOST_FEATURES:
        sentence = f"Possible leaks were looked for among the first {_MOST_FEATURES:,} of {len(features):,} features."
        leaks.append(Finding(code="leaks_not_looked_for", columns=(), sentence=sentence))
    return leaks


def column_in(file: pq.ParquetFile, name: str) -> ColumnValues:
    """Read one column of a canonical file."""
    return column_from_arrow(file.read(columns=[name]).column(0).combine_chunks())


def _at(column: ColumnValues, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Take the values of some rows: numbers, or the codes of categories, NaN for missing."""
    if not isinstance(column, CategoryColumn):
        return column.values[rows]
    codes = column.codes[rows].astype(np.float64)
    return np.where(codes < 0, np.nan, codes)


def unequal_from(n_classes: int) -> float:
    """Give the share of the commonest class from which classes are said to be very unequal: at most 0.8."""
    return min(UNEQUAL, 4 / n_classes)


def unflattered_metrics() -> str:
    """List the metrics of classes that always saying the commonest one does not flatter."""
    metrics = [METRICS[name] for name in metrics_of("classification")]
    *others, last = [m.name for m in metrics if not m.rewards_commonest_class and m.suits_any_target]
    return f"{', '.join(others)} or {last}"


def _unequal(name: str, target: ColumnValues) -> Iterator[Finding]:
    numbers = _class_numbers(target)
    counts = np.bincount(numbers[numbers >= 0])
    if len(counts) < 2:
        return
    share = float(counts.max() / counts.sum())
    if share >= unequal_from(len(counts)):
        label = class_labels(target)[int(counts.argmax())]
        sentence = f"{name} is {label} in {100 * share:.3g} % of the rows: always saying so has accuracy {share:.4g}."
        setting = f"metric: {unflattered_metrics()}"
        yield Finding(code="unequal_classes", columns=(name,), sentence=sentence, setting=setting, is_warning=True)


def _long_tail(name: str, target: ColumnValues) -> Iterator[Finding]:
    values = _numbers(target)
    values = values[np.isfinite(values)]
    with np.errstate(over="ignore"):
        spread = values.std() if len(values) else 0.0
    if not np.isfinite(spread) or spread == 0:
        return
    skewness = float(np.mean(((values - values.mean()) / spread) ** 3))
    if abs(skewness) >= LONG_TAIL:
        side = "high" if skewness > 0 else "low"
        sentence = (
            f"{name} has a long tail of {side} values (median {np.median(values):.4g}, mean {values.mean():.4g}, "
            f"{'most' if skewness > 0 else 'least'} {values.max() if skewness > 0 else values.min():.4g}): "
            "squared errors are ruled by few rows."
        )
        setting = "metric: mae, or the logarithm of the column as the target"
        yield Finding(code="long_tail", columns=(name,), sentence=sentence, setting=setting)


def _rows(target: ColumnValues) -> npt.NDArray[np.int64]:
    """Choose the rows to look at: those with a target, evenly spaced where there are many."""
    is_there = target.codes >= 0 if isinstance(target, CategoryColumn) else np.isfinite(target.values)
    rows = np.flatnonzero(is_there)
    order = np.random.Generator(np.random.Philox(key=0)).permutation(len(rows))[:_SAMPLE]
    return rows[order]


def _class_numbers(column: ColumnValues) -> npt.NDArray[np.int64]:
    if isinstance(column, CategoryColumn):
        return column.codes.astype(np.int64)
    values = np.unique(column.values[~np.isnan(column.values)])
    return np.where(np.isnan(column.values), -1, np.searchsorted(values, column.values))


def _numbers(column: ColumnValues) -> npt.NDArray[np.float64]:
    assert not isinstance(column, CategoryColumn)
    return column.values


def _alone(values: npt.NDArray[np.float64], truth: npt.NDArray[np.generic], *, classes: bool) -> float:
    """Compute how well a feature alone predicts: on the second half of the rows, by bins made from the first.

    Returns:
        The share of the errors of the constant answer that it avoids, or of the variance that it explains.
    """
    bins, half = _binned(values), len(values) // 2
    if classes:
        return _class_share(bins, truth.astype(np.int64), half)
    with np.errstate(over="ignore", invalid="ignore"):  # a variance that has no room in a double tells nothing
        return _variance_share(values, bins, truth.astype(np.float64), half)


def _binned(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    present = values[np.isfinite(values)]
    if not len(present):
        return np.zeros(len(values), dtype=np.int64)
    different = np.unique(present)
    edges = different if len(different) <= _BINS else np.unique(np.quantile(present, np.linspace(0, 1, _BINS)))
    return np.where(np.isfinite(values), np.searchsorted(edges, values) + 1, 0)


def _class_share(bins: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], half: int) -> float:
    n_classes = int(truth.max()) + 1
    counts = np.zeros((int(bins.max()) + 1, n_classes))
    np.add.at(counts, (bins[:half], truth[:half]), 1)
    overall = counts.sum(axis=0)
    guess = np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), overall.argmax())
    wrong = float((guess[bins[half:]] != truth[half:]).mean())
    constant = float((truth[half:] != overall.argmax()).mean())
    return 1 - wrong / constant if constant > 0 else 0.0


def _variance_share(
    values: npt.NDArray[np.float64], bins: npt.NDArray[np.int64], truth: npt.NDArray[np.float64], half: int
) -> float:
    """Compute R² of the bins' means, of a line, or of the line between ranks, whichever is best."""
    variance = float(truth[half:].var())
    if variance == 0 or not np.isfinite(variance):
        return 0.0
    n = np.bincount(bins[:half], minlength=int(bins.max()) + 1)
    sums = np.bincount(bins[:half], weights=truth[:half], minlength=len(n))
    means = np.where(n > 0, sums / np.maximum(n, 1), truth[:half].mean())
    shares = [1 - float(np.mean((truth[half:] - means[bins[half:]]) ** 2)) / variance]
    return max([*shares, *_line_shares(values, truth, half)])


def _line_shares(values: npt.NDArray[np.float64], truth: npt.NDArray[np.float64], half: int) -> list[float]:
    """Compute R² of a line, and of the line between ranks, on the rows that have a value, if most have."""
    fit = np.isfinite(values)
    one, other = fit.copy(), fit.copy()
    one[half:], other[:half] = False, False
    if (
        fit.mean() < _MOST_ROWS
        or min(one.sum(), other.sum()) < 3
        or np.ptp(values[one]) == 0
        or truth[other].var() == 0
    ):
        return []
    centre, reach = values[one].mean(), np.ptp(values[one])
    x = (values - centre) / reach
    slope = float(np.mean(x[one] * (truth[one] - truth[one].mean())) / np.mean(x[one] ** 2))
    left = truth[other] - truth[one].mean() - slope * x[other]
    line = 1 - float(np.mean(left**2)) / float(truth[other].var())
    return [line, float(np.corrcoef(_ranks(values[fit]), _ranks(truth[fit]))[0, 1] ** 2)]


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.unique(values, return_inverse=True)[1].astype(np.float64)
