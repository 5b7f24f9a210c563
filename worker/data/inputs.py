"""What a network trains on: the matrices of each fold, prepared once per fold and scaler."""

from __future__ import annotations

from collections import OrderedDict
from copy import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldstep.service.contract.columns import NumberColumn
from foldstep.service.contract.features import feature_names
from foldstep.service.contract.folds import Rows, Splits, make_splits
from foldstep.service.contract.problem import LearningProblem
from foldstep.worker.data.load import Table
from foldstep.worker.data.preprocess import Preprocessor
from foldstep.worker.data.target import TargetCoder

CACHE_BYTES = 1 << 30
_SAMPLE_STREAM = 2**32  # beyond those of the splits, which count the repeats


@dataclass(frozen=True)
class FoldData:
    """One fold, ready to train.

    The number of inputs may differ between folds: flags and categories come from the training part alone.

    Attributes:
        x_train: float32, shape (training rows, inputs); C-contiguous and read-only, as all arrays here.
        y_train: int64 class indices, or the float32 standardised target, or float32 counts; shape (training rows,).
        x_valid: float32, shape (validation rows, inputs).
        y_valid: int64 class indices, or the float64 target in the user's units; shape (validation rows,).
        preprocessor: how the features became `x`.
        target: how the target became `y`.
        exposure_train: float64, of each training row's count; None for 1.
        exposure_valid: of each validation row's count.
    """

    x_train: npt.NDArray[np.float32]
    y_train: npt.NDArray[np.int64] | npt.NDArray[np.float32]
    x_valid: npt.NDArray[np.float32]
    y_valid: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    preprocessor: Preprocessor
    target: TargetCoder
    exposure_train: npt.NDArray[np.float64] | None = None
    exposure_valid: npt.NDArray[np.float64] | None = None

    @property
    def n_inputs(self) -> int:
        """Columns of `x_train` and `x_valid`."""
        return int(self.x_train.shape[1])

    @property
    def n_outputs(self) -> int:
        """Number of classes, or 1."""
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
        self._task = problem.task
        self._target = table.columns[problem.target]
        self._cache_bytes = cache_bytes
        self._exposure = None if problem.data.exposure is None else table.columns[problem.data.exposure]
        self._cache: OrderedDict[tuple[int, str, str], FoldData] = OrderedDict()

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

    def fold(self, index: int, scaler: str, link: str = "identity") -> FoldData:
        """Prepare the data of fold `index` (from 0) under a scaler and a link, or take them from memory."""
        key = (index, scaler, link)
        if key not in self._cache:
            self._cache[key] = self._prepare(index, scaler, link)
            self._evict()
        self._cache.move_to_end(key)
        return self._cache[key]

    def _prepare(self, index: int, scaler: str, link: str) -> FoldData:
        train, valid = self.splits.folds[index]
        preprocessor = Preprocessor.fit(self._table, train, self.features, scaler)
        exposures = self._exposure_of(train), self._exposure_of(valid)
        target = TargetCoder.fit(self._target, train, self._task, link, exposures[0])
        x_train, x_valid = (preprocessor.transform(self._table, rows) for rows in (train, valid))
        y_train, y_valid = target.encode(self._target, train), target.truth(self._target, valid)
        for array in (x_train, y_train, x_valid, y_valid):
            array.flags.writeable = False  # shared by every member of the fold
        return FoldData(x_train, y_train, x_valid, y_valid, preprocessor, target, *exposures)

    def _exposure_of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64] | None:
        if self._exposure is None:
            return None
        assert isinstance(self._exposure, NumberColumn)
        return self._exposure.values[rows]

    def _evict(self) -> None:
        while len(self._cache) > 1 and sum(d.nbytes for d in self._cache.values()) > self._cache_bytes:
            self._cache.popitem(last=False)


def _drawn(rows: Rows, max_rows: int, generator: np.random.Generator) -> Rows:
    """Draw at most `max_rows` of the rows, in ascending order."""
    return rows if len(rows) <= max_rows else np.sort(generator.choice(rows, max_rows, replace=False))
