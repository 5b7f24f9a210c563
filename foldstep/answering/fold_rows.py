"""The validation rows of each fold, with the networks that were not trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from foldstep.ensemble import Ensemble, LoadedCommittee, Matrix, Rows
from foldstep.service.analysis.scores import Truth
from foldstep.service.contract.columns import CategoryColumn, ColumnValues, NumberColumn
from foldstep.service.contract.folds import make_splits
from foldstep.service.contract.problem import LearningProblem
from foldstep.worker.data.load import Table
from foldstep.worker.data.targets import truth
from foldstep.worker.predictor import Predictor


@dataclass(frozen=True)
class FoldRows:
    """Some validation rows of one fold.

    Attributes:
        fold: its number.
        table: the rows, with their raw cells.
        truth: of the rows.
        networks: of the fold: one of each trial, with the trial's weight.
    """

    fold: int
    table: Table
    truth: Truth
    networks: Ensemble

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.table.n_rows

    def rows(self, which: Rows) -> FoldRows:
        """Take some of the rows."""
        weight = None if self.truth.weight is None else self.truth.weight[which]
        cut = Truth(self.truth.values[which], weight, self.truth.levels)
        return replace(self, table=taken(self.table, which), truth=cut)

    def outputs(self, table: Table, *, is_corrected: bool = False) -> Matrix:
        """Predict rows by the weighted mean of the fold's networks, (rows, outputs).

        Args:
            table: the rows.
            is_corrected: whether what class weights did to probabilities is undone.
        """
        readings = dict.fromkeys(predictor.reading for predictor in self.networks.predictors)
        outputs = self.networks.outputs_of(dict.fromkeys(readings, table), is_corrected)
        return outputs.reshape(len(outputs), -1)


def taken(table: Table, rows: Rows) -> Table:
    """Take some rows of a table."""
    return Table({name: _cells(column, rows) for name, column in table.columns.items()})


def with_cells(table: Table, name: str, rows: Rows) -> Table:
    """Replace the cells of one column by those of other rows."""
    return Table({**table.columns, name: _cells(table.columns[name], rows)})


def _cells(column: ColumnValues, rows: Rows) -> ColumnValues:
    if isinstance(column, CategoryColumn):
        return replace(column, codes=column.codes[rows])
    return replace(column, values=column.values[rows])


def fold_rows(ensemble: Ensemble, table: Table, problem: LearningProblem) -> list[FoldRows]:
    """List the validation rows of each fold that has a network.

    Args:
        ensemble: the networks of the search.
        table: the search's data.
        problem: of the search.
    """
    folds = make_splits(table.columns, problem.data, problem.cv, problem.seed).folds
    networks: list[list[LoadedCommittee]] = [[] for _ in folds]
    for committee in ensemble.committees:
        for predictor in committee.predictors:
            networks[predictor.facts["fold"]].append(replace(committee, predictors=[predictor]))
    used = Table({name: table.columns[name] for name in ensemble.columns})
    return [
        FoldRows(fold, taken(used, rows), _truth(own[0].predictors[0], table, rows, problem), Ensemble(own))
        for fold, ((_, rows), own) in enumerate(zip(folds, networks, strict=True))
        if own
    ]


def _truth(network: Predictor, table: Table, rows: Rows, problem: LearningProblem) -> Truth:
    values = truth(network.target, [table.columns[name] for name in problem.data.targets], rows)
    column = None if problem.data.weight is None else table.columns[problem.data.weight]
    weight = column.values[rows] if isinstance(column, NumberColumn) else None
    return Truth(values, weight, tuple(problem.data.quantiles or ()))


def thinned(folds: Sequence[FoldRows], most: int) -> list[FoldRows]:
    """Take at most so many rows of all folds together, at equal distances, from each fold its share."""
    n_rows = sum(fold.n_rows for fold in folds)
    if n_rows <= most:
        return list(folds)
    return [fold.rows(_spaced(fold.n_rows, max(1, fold.n_rows * most // n_rows))) for fold in folds]


def _spaced(n: int, n_taken: int) -> Rows:
    return np.linspace(0, n - 1, n_taken).astype(np.int64)
