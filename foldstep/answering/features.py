"""How much the networks of a search need each column: permutation importance on rows that they were not trained on.

The cells of one column are permuted among the validation rows of a fold, and the networks of that fold predict these
rows again (Breiman 2001; Fisher, Rudin and Dominici 2019). What the search's loss rises by is what the column brings.
Raw cells are permuted, so that all that preprocessing makes of a cell moves with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from foldstep.answering.curves import curve, curve_notes
from foldstep.answering.fold_rows import FoldRows, fold_rows, taken, thinned, with_cells
from foldstep.ensemble import Ensemble, Matrix
from foldstep.models.catalog.metrics import METRICS
from foldstep.service.analysis.scores import scores
from foldstep.service.contract.columns import CategoryColumn, ColumnValues, DateColumn
from foldstep.service.contract.feature_report import (
    CURVE_ROWS,
    MOST_ROWS,
    N_CURVES,
    N_REPEATS,
    FeatureImportance,
    FeatureReport,
    FeatureRequest,
)
from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.reading import Kind
from foldstep.worker.data.load import read_table

LEAST_ROWS = 500
"""Rows that are looked at however great the networks are."""
_MOST_WORK = 1e11
"""Multiplications of all predictions together, of which a core does some 10^10 a second."""
_OF_A_CELL = 100.0
"""Multiplications that take as long as the preprocessing of a cell."""
_STREAM = 2**35  # beyond those of the splits and of the noise
_Losses: TypeAlias = npt.NDArray[np.float64]


def features(asked: FeatureRequest) -> FeatureReport:
    """Report on the features of a search.

    Raises:
        InvalidInput: a checkpoint is damaged, or gone.
        DatasetUnreadable: the data is not the search's.
    """
    ensemble, problem = Ensemble.load(asked.chosen.committees), asked.problem
    every = fold_rows(ensemble, read_table(asked.table, problem.fingerprint), problem)
    names = [name for name in ensemble.columns if name != problem.data.exposure]
    folds = thinned(every, _n_rows(ensemble, len(names), len(every)))
    before = np.array([_losses(problem, fold, [fold.outputs(fold.table)])[0] for fold in folds])
    measured = sorted((_importance(problem, folds, before, name) for name in names), key=_place)
    few = thinned(folds, CURVE_ROWS)
    drawn = [_with_curve(feature, ensemble, folds, few) for feature in measured[:N_CURVES]]
    return FeatureReport(
        search=asked.chosen.search,
        metric=problem.metric,
        trials=[committee.trial for committee in asked.chosen.committees],
        chosen=asked.chosen.words,
        score=_score(problem, before),
        n_rows=sum(fold.n_rows for fold in folds),
        n_repeats=N_REPEATS,
        n_curve_rows=sum(fold.n_rows for fold in few),
        features=[*drawn, *measured[N_CURVES:]],
        notes=[*_notes(problem, every, folds, names, before), *curve_notes(ensemble, folds, drawn)],
    )


def _n_rows(ensemble: Ensemble, n_columns: int, n_folds: int) -> int:
    """Choose how many rows are looked at, so that it takes seconds; each is predicted by one fold's networks."""
    sizes = [sum(part.size for layer in network.weights for part in layer.values()) for network in ensemble.predictors]
    of_row = sum(size + _OF_A_CELL * n_columns for size in sizes) / n_folds * (n_columns * N_REPEATS + 1)
    return int(min(MOST_ROWS, max(LEAST_ROWS, _MOST_WORK / of_row)))


def _losses(problem: LearningProblem, fold: FoldRows, said: Sequence[Matrix]) -> _Losses:
    """Compute the loss of several answers, each (rows, outputs), on the rows of a fold; (answers,)."""
    metric = problem.metric.name
    found = scores(metric, problem.task, np.stack([one.T for one in said]), fold.truth)
    return np.array([METRICS[metric].direction.loss_of(float(score)) for score in found])


def _importance(problem: LearningProblem, folds: Sequence[FoldRows], before: _Losses, name: str) -> FeatureImportance:
    after = np.stack([_permuted(problem, fold, name) for fold in folds])
    rises = (after - before[:, None]).ravel()
    rises = rises[np.isfinite(rises)]
    return FeatureImportance(
        column=name,
        kind=_kind(folds[0].table.columns[name]),
        increase=float(rises.mean()) if len(rises) else None,
        deviation=float(rises.std(ddof=1)) if len(rises) > 1 else None,
    )


def _permuted(problem: LearningProblem, fold: FoldRows, name: str) -> _Losses:
    """Compute the losses with a column permuted, (repeats,): all repeats are predicted as one table."""
    n, streams = fold.n_rows, range(_STREAM + fold.fold * N_REPEATS, _STREAM + (fold.fold + 1) * N_REPEATS)
    orders = [np.random.Generator(np.random.Philox(key=[problem.seed, s])).permutation(n) for s in streams]
    repeated = taken(fold.table, np.tile(np.arange(n), N_REPEATS))
    shifted = np.concatenate([order + i * n for i, order in enumerate(orders)])
    said = fold.outputs(with_cells(repeated, name, shifted))
    return _losses(problem, fold, np.split(said, N_REPEATS))


def _kind(column: ColumnValues) -> Kind:
    if isinstance(column, CategoryColumn):
        return "category"
    return "date" if isinstance(column, DateColumn) else "number"


def _place(feature: FeatureImportance) -> tuple[bool, float]:
    return feature.increase is None, -(feature.increase or 0.0)


def _with_curve(
    feature: FeatureImportance, ensemble: Ensemble, folds: Sequence[FoldRows], few: Sequence[FoldRows]
) -> FeatureImportance:
    return feature.model_copy(update={"curve": curve(ensemble, folds, few, feature.column)})


def _score(problem: LearningProblem, losses: _Losses) -> float | None:
    known = losses[np.isfinite(losses)]
    return METRICS[problem.metric.name].direction.score_of(float(known.mean())) if len(known) else None


def _notes(
    problem: LearningProblem, every: Sequence[FoldRows], folds: Sequence[FoldRows], names: Sequence[str],
    before: _Losses,
) -> list[str]:  # fmt: skip
    notes = []
    n_rows, n_looked_at = (sum(fold.n_rows for fold in some) for some in (every, folds))
    if n_looked_at < n_rows:
        notes.append(f"It was measured on {n_looked_at:,} of {n_rows:,} validation rows, at equal distances.")
    if len(every) < problem.n_folds:
        notes.append(f"Folds without a checkpoint are left out: {problem.n_folds - len(every)} of {problem.n_folds}.")
    n_unknown = int((~np.isfinite(before)).sum())
    if n_unknown:
        notes.append(f"{problem.metric.name} has no value on the rows of {n_unknown} of {len(folds)} folds.")
    unused = [name for name in problem.features or () if name not in names]
    if unused:
        notes.append(f"No network uses {', '.join(unused)}: there was no usable value to train on.")
    return notes
