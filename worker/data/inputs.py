"""What a network trains on: the matrices of each fold, made once per fold and preparation."""

from __future__ import annotations

from collections import OrderedDict
from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.preparation import Preparation
from foldstep.models.columns import InputColumns
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.input_stage import InputStage, stage_of
from foldstep.service.contract.columns import ColumnValues, NumberColumn
from foldstep.service.contract.draws import Rows
from foldstep.service.contract.features import feature_names
from foldstep.service.contract.folds import Splits, make_splits
from foldstep.service.contract.problem import LearningProblem
from foldstep.worker.data.load import Table
from foldstep.worker.data.preprocess import Preprocessor
from foldstep.worker.data.target import TargetCoder
from foldstep.worker.data.targets import encode, fit, truth

CACHE_BYTES = 1 << 30
_SAMPLE_STREAM = 2**32  # beyond those of the splits, which count the repeats
_NOISE_STREAM = 2**33  # the first of the folds'


@dataclass(frozen=True)
class FoldData:
    """One fold, ready to train.

    The number of inputs may differ between folds: flags and categories come from the training part alone.

    Attributes:
        x_train: float32, shape (training rows, inputs); C-contiguous and read-only, as all arrays here.
        y_train: int64 class indices, or the float32 standardised target, or float32 counts; shape (training rows,); of
            several targets float32 (training rows, targets), labels as 0 and 1.
        x_valid: float32, shape (validation rows, inputs).
        y_valid: int64 class indices, or the float64 target in the user's units; shape (validation rows,), or of several
            (validation rows, targets).
        preprocessor: how the features became `x`.
        target: how the target became `y`.
        exposure_train: float64, of each training row's count; None for 1.
        exposure_valid: of each validation row's count.
        weight_train: float64, how much each training row counts; None for equal weights.
        weight_valid: of each validation row.
    """

    x_train: npt.NDArray[np.float32]
    y_train: npt.NDArray[np.int64] | npt.NDArray[np.float32]
    x_valid: npt.NDArray[np.float32]
    y_valid: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    preprocessor: Preprocessor
    target: TargetCoder
    exposure_train: npt.NDArray[np.float64] | None = None
    exposure_valid: npt.NDArray[np.float64] | None = None
    weight_train: npt.NDArray[np.float64] | None = None
    weight_valid: npt.NDArray[np.float64] | None = None
    _stages: dict[tuple[object, ...], InputStage | None] = field(default_factory=dict, repr=False, compare=False)

    def stage(self, hp: Hyperparameters) -> InputStage | None:
        """Describe the input stage of a network on this fold, see `stage_of`."""
        if not hp.has_stage:
            return None
        key = (
            hp.number_embedding, hp.embedding_size, hp.embedding_frequencies, hp.embedding_sigma, hp.embedding_bins,
            hp.embedding_shared, hp.embedding_min_values, hp.input_scale, hp.missing_value,
            hp.max_one_hot, hp.category_embedding_size,
        )  # fmt: skip
        if key not in self._stages:
            self._stages[key] = stage_of(hp, self.columns, self.x_train)
        return self._stages[key]

    def n_parameters(self, hp: Hyperparameters) -> int:
        """Count the trained parameters of a network on this fold, with those of its input stage."""
        stage = self.stage(hp)
        if stage is None:
            return hp.n_parameters(self.n_inputs, self.n_outputs)
        return hp.n_parameters(stage.n_units, self.n_outputs) + stage.n_parameters

    @property
    def n_inputs(self) -> int:
        """Columns of `x_train` and `x_valid`."""
        return int(self.x_train.shape[1])

    @property
    def columns(self) -> InputColumns:
        """What the columns of `x_train` and `x_valid` hold."""
        return self.preprocessor.columns

    @property
    def n_outputs(self) -> int:
        """Number of classes, quantiles, targets or labels, or 1."""
        return self.target.n_outputs

    @property
    def nbytes(self) -> int:
        """Memory of the four arrays in bytes."""
        return self.x_train.nbytes + self.y_train.nbytes + self.x_valid.nbytes + self.y_valid.nbytes


class FoldSource:
    """The folds of one search; the last used ones are kept in memory, up to a bound in bytes."""

    def __init__(self, table: Table, problem: LearningProblem, *, cache_bytes: int = CACHE_BYTES) -> None:
        """Split the rows.

        Args:
            table: the search's data.
            problem: of the search.
            cache_bytes: bound of the memory kept; one fold is kept even where it is greater.
        """
        self.splits: Splits = make_splits(table.columns, problem.data, problem.cv, problem.seed)
        self.features = problem.features or feature_names(list(table.columns), problem.data, problem.cv)
        self._table = table
        self._task, self._seed = problem.task, problem.seed
        self.target_names = tuple(problem.data.targets)
        self._targets = [table.columns[name] for name in self.target_names]
        self._cache_bytes = cache_bytes
        self._quantiles = tuple(problem.data.quantiles or ())
        self._exposure, self._weight = (
            None if name is None else table.columns[name] for name in (problem.data.exposure, problem.data.weight)
        )
        self._cache: OrderedDict[tuple[int, Preparation], FoldData] = OrderedDict()

    @property
    def n_folds(self) -> int:
        """Number of folds, so of members that each trial has."""
        return len(self.splits.folds)

    def sample(self, max_rows: int, seed: int) -> FoldSource:
        """Copy the source with fold 0 alone, and of each of its parts at most `max_rows` rows, drawn at random."""
        generator = np.random.Generator(np.random.Philox(key=[seed, _SAMPLE_STREAM]))
        fold = [_drawn(rows, max_rows, generator) for rows in self.splits.folds[0]]
        small = copy(self)
        small.splits = Splits(self.splits.test, [(fold[0], fold[1])])
        small._cache = OrderedDict()
        return small

    def unweighted(self) -> FoldSource:
        """Copy the source without the weights of its rows."""
        other = copy(self)
        other._weight, other._cache = None, OrderedDict()
        return other

    def fold(self, index: int, how: Preparation) -> FoldData:
        """Prepare the data of fold `index` (from 0), or take them from memory."""
        key = (index, how)
        if key not in self._cache:
            self._cache[key] = self._prepare(index, how)
            self._evict()
        self._cache.move_to_end(key)
        return self._cache[key]

    def _prepare(self, index: int, how: Preparation) -> FoldData:
        train, valid = self.splits.folds[index]
        noise = np.random.Generator(np.random.Philox(key=[self._seed, _NOISE_STREAM + index]))
        preprocessor = Preprocessor.fit(self._table, train, self.features, how, noise)
        exposures = _factor(self._exposure, train), _factor(self._exposure, valid)
        weights = _factor(self._weight, train), _factor(self._weight, valid)
        target = fit(self._targets, train, self._task, how, exposures[0], self._quantiles)
        x_train, x_valid = (preprocessor.transform(self._table, rows) for rows in (train, valid))
        y_train, y_valid = encode(target, self._targets, train), truth(target, self._targets, valid)
        for array in (x_train, y_train, x_valid, y_valid):
            array.flags.writeable = False  # shared by every member of the fold
        return FoldData(x_train, y_train, x_valid, y_valid, preprocessor, target, *exposures, *weights)

    def with_test_rows(self, fold: FoldData) -> FoldData:
        """Copy a fold with the test rows in the place of its validation rows; nothing is fitted on them."""
        rows = self.splits.test
        return replace(
            fold,
            x_valid=fold.preprocessor.transform(self._table, rows),
            y_valid=truth(fold.target, self._targets, rows),
            exposure_valid=_factor(self._exposure, rows),
            weight_valid=_factor(self._weight, rows),
        )

    def _evict(self) -> None:
        while len(self._cache) > 1 and sum(d.nbytes for d in self._cache.values()) > self._cache_bytes:
            self._cache.popitem(last=False)


def _factor(column: ColumnValues | None, rows: Rows) -> npt.NDArray[np.float64] | None:
    """Take the exposures or weights of some rows; None where there is no such column."""
    if column is None:
        return None
    assert isinstance(column, NumberColumn)
    return column.values[rows]


def _drawn(rows: Rows, max_rows: int, generator: np.random.Generator) -> Rows:
    """Draw at most `max_rows` of the rows, in ascending order."""
    return rows if len(rows) <= max_rows else np.sort(generator.choice(rows, max_rows, replace=False))
