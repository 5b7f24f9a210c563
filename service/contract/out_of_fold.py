"""Out-of-fold predictions: what a fold's network says of the rows that it was not trained on; part of its checkpoint.

Each row of the data is in the validation part of one fold (of as many as there are repeats; a holdout leaves most rows
in none). So all folds of a trial together say of every row what a network says that never saw it. Of the test part
every fold's network says something; that is read once, when the final model is scored (`service/flow/finalize.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

VALIDATION, TEST = "oof.", "test."
"""What the names of the arrays of both parts in a checkpoint begin with; those of the network's layers are numbers."""


@dataclass(frozen=True)
class FoldPredictions:
    """The predictions of one fold's network for its validation rows, or for the test rows.

    Attributes:
        rows: (rows,) int64, the numbers of the rows in the data.
        predictions: (rows, outputs) float32: probabilities of the classes as training weighted them; one value in the
            target's units, or one of each quantile or target; or the probability of each label's second class.
        truth: (rows,) int64 class numbers, or float64 values in the target's units; of several targets
            (rows, targets), labels as 0 and 1.
        weight: (rows,) float64, how much each row counts; None for equal weights.
    """

    rows: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.float32]
    truth: npt.NDArray[Any]
    weight: npt.NDArray[np.float64] | None = None

    def arrays(self, part: str = VALIDATION) -> dict[str, npt.NDArray[Any]]:
        """List the arrays of a checkpoint that hold it, by name.

        Args:
            part: VALIDATION or TEST.
        """
        # row and class numbers rarely need eight bytes, and there are many of them
        numbers = {"rows": self.rows, "truth": self.truth}
        compact = {n: a.astype(np.int32) if _fits(a) else a for n, a in numbers.items()}
        weight = {} if self.weight is None else {"weight": self.weight}
        return {part + name: array for name, array in {**compact, "predictions": self.predictions, **weight}.items()}

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]], part: str = VALIDATION) -> FoldPredictions | None:
        """Read what `arrays` wrote; None where a checkpoint has none.

        Args:
            arrays: of the checkpoint, by name.
            part: VALIDATION or TEST.

        Raises:
            ValueError: the arrays do not fit together.
        """
        if part + "predictions" not in arrays:
            return None
        rows, predictions, truth = (arrays.get(part + name) for name in ("rows", "predictions", "truth"))
        weight = arrays.get(part + "weight")
        if rows is None or predictions is None or truth is None:
            raise ValueError("a part of its predictions is missing")
        parts = [rows, predictions, truth, *([] if weight is None else [weight])]
        if predictions.ndim != 2 or rows.ndim != 1 or len({len(part) for part in parts}) != 1:
            raise ValueError("its predictions are of other rows than it names")
        wide = truth.astype(np.int64) if np.issubdtype(truth.dtype, np.integer) else truth
        return cls(rows.astype(np.int64), predictions, wide, weight)


def without_predictions(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Leave the arrays of predictions out of those of a checkpoint."""
    return {name: array for name, array in arrays.items() if not name.startswith((VALIDATION, TEST))}


def _fits(numbers: npt.NDArray[Any]) -> bool:
    is_whole = bool(np.issubdtype(numbers.dtype, np.integer))
    return is_whole and (numbers.size == 0 or int(np.abs(numbers).max()) <= np.iinfo(np.int32).max)
