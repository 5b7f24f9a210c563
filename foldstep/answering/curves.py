"""What networks make of one column: the partial dependence of their predictions (Friedman 2001, section 8.2).

All rows get one value of the column, and the mean of what is predicted is a point of the curve. Each row is predicted
by networks that were not trained on it, as in `features`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from foldstep.answering.fold_rows import FoldRows
from foldstep.ensemble import Ensemble
from foldstep.prediction import named_columns
from foldstep.prediction_notes import names_with
from foldstep.service.contract.columns import CategoryColumn, ColumnValues, NumberColumn
from foldstep.service.contract.feature_report import MOST_CLASSES, N_POINTS, FeatureCurve, FeatureImportance
from foldstep.service.contract.features import DAY_S, is_usable
from foldstep.worker.data.load import Table

_ENDS = (0.025, 0.975)
"""Shares of the rows between which a curve of numbers lies: outside there are too few rows to tell of."""


def curve(ensemble: Ensemble, folds: Sequence[FoldRows], few: Sequence[FoldRows], name: str) -> FeatureCurve | None:
    """Compute the curve of a column; None where no row has a value of it.

    Args:
        ensemble: the networks.
        folds: rows whose values of the column the curve is drawn at.
        few: rows over which it is the mean.
        name: the column.
    """
    points = _points([fold.table.columns[name] for fold in folds])
    if not len(points):
        return None
    means = np.stack([_mean(ensemble, few, name, point) for point in points])
    first, is_one_value = ensemble.first, ensemble.first.is_one_value
    named = named_columns(first, means[:, 0] if is_one_value else means, proba=first.target.task != "regression")
    shown = _frequent_classes(ensemble, folds)
    values = _written(folds[0].table.columns[name], points)
    return FeatureCurve(values=values, means={n: cells for n, cells in named.items() if shown is None or n in shown})


def _points(columns: Sequence[ColumnValues]) -> npt.NDArray[np.float64]:
    """Choose values of a column: numbers, or codes of categories, the most frequent first."""
    if isinstance(columns[0], CategoryColumn):
        codes, counts = np.unique(_codes(columns), return_counts=True)
        return codes[np.argsort(-counts, kind="stable")][:N_POINTS].astype(np.float64)
    values = np.concatenate([c.values for c in columns if not isinstance(c, CategoryColumn)])
    values = values[is_usable(values)]
    different = np.unique(values)
    if len(different) <= N_POINTS:
        return different
    # of values that there are, not of those between
    return np.unique(np.quantile(values, np.linspace(*_ENDS, N_POINTS), method="inverted_cdf"))


def _codes(columns: Sequence[ColumnValues]) -> npt.NDArray[np.int32]:
    codes = np.concatenate([column.codes for column in columns if isinstance(column, CategoryColumn)])
    return codes[codes >= 0]


def _mean(ensemble: Ensemble, few: Sequence[FoldRows], name: str, point: float) -> npt.NDArray[np.float64]:
    """Compute the mean prediction, (outputs,), over the rows that have one; NaN where none has."""
    said = [fold.outputs(_all_with(fold.table, name, point), is_corrected=ensemble.is_correctable) for fold in few]
    rows = np.concatenate(said)
    known = rows[np.isfinite(rows).all(axis=1)]
    return known.mean(axis=0) if len(known) else np.full(rows.shape[1], np.nan)


def _all_with(table: Table, name: str, point: float) -> Table:
    column = table.columns[name]
    if isinstance(column, CategoryColumn):
        changed: ColumnValues = CategoryColumn(np.full(table.n_rows, int(point), np.int32), column.labels)
    else:
        changed = type(column)(np.full(table.n_rows, point))
    return Table({**table.columns, name: changed})


def _written(column: ColumnValues, points: npt.NDArray[np.float64]) -> list[float | str]:
    if isinstance(column, CategoryColumn):
        return [column.labels[int(point)] for point in points]
    if isinstance(column, NumberColumn):
        return [float(point) for point in points]
    return [_date(float(point)) for point in points]


def _date(seconds: float) -> str:
    """Write a date; with its time of day where that is not midnight."""
    moment = np.datetime64(math.floor(seconds), "s")
    return str(moment.astype("datetime64[D]") if seconds % DAY_S == 0 else moment)


def _frequent_classes(ensemble: Ensemble, folds: Sequence[FoldRows]) -> set[str] | None:
    """Name the classes that curves tell of; None for all there is."""
    classes = ensemble.first.classes
    if classes is None or len(classes) <= MOST_CLASSES:
        return None
    counts = np.bincount(np.concatenate([fold.truth.values for fold in folds]), minlength=len(classes))
    return {str(classes[i]) for i in np.argsort(-counts, kind="stable")[:MOST_CLASSES]}


def curve_notes(ensemble: Ensemble, folds: Sequence[FoldRows], drawn: Sequence[FeatureImportance]) -> list[str]:
    """Say what curves leave out, one sentence each."""
    notes = []
    classes = ensemble.first.classes
    if classes is not None and len(classes) > MOST_CLASSES and drawn:
        notes.append(f"Curves tell of the {MOST_CLASSES} most frequent of {len(classes)} classes.")
    counts = {f.column: _n_categories(folds, f.column) for f in drawn if f.kind == "category"}
    cut = {name: f"{n:,} categories" for name, n in counts.items() if n > N_POINTS}
    if cut:
        notes.append(f"Curves have the {N_POINTS} most frequent categories of {names_with(cut)}.")
    return notes


def _n_categories(folds: Sequence[FoldRows], name: str) -> int:
    return len(np.unique(_codes([fold.table.columns[name] for fold in folds])))
