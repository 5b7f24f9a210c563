"""Turns a target into what a network learns, and a network's output back into what a user reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from service.contract.columns import CategoryColumn, ColumnValues, NumberColumn
from service.contract.spec import Task

Label: TypeAlias = str | int | float


@dataclass(frozen=True)
class TargetCoder:
    """The classes of a classification, or the mean and scale of a regression.

    Attributes:
        classes: sorted labels as users wrote them; None for regression. They come from all rows, so that every
            fold has the same outputs; that a class exists is part of the task, not a statistic.
        mean: of the training part's target; 0 for classification.
        scale: population standard deviation of the training part's target; 1 where it is constant.
    """

    classes: tuple[Label, ...] | None
    mean: float = 0.0
    scale: float = 1.0

    @classmethod
    def fit(cls, column: ColumnValues, train_rows: npt.NDArray[np.int64], task: Task) -> TargetCoder:
        """Classes of the whole column, or moments of its training rows.

        Raises:
            TypeError: a text column as the target of a regression.
        """
        if task == "classification":
            return cls(classes=_labels(column))
        if isinstance(column, CategoryColumn):
            raise TypeError("a regression needs a target of numbers, however: it is text")
        values = column.values[train_rows]
        mean, scale = float(values.mean()), float(values.std())
        is_constant = scale <= 10 * np.finfo(np.float64).eps * abs(mean)
        return cls(classes=None, mean=mean, scale=1.0 if is_constant else scale)

    @property
    def n_outputs(self) -> int:
        """Output units of the network: one a class, or 1."""
        return 1 if self.classes is None else len(self.classes)

    def encode(
        self, column: ColumnValues, rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64] | npt.NDArray[np.float32]:
        """Class indices as int64, or the standardised target as float32; shape (rows,).

        Raises:
            ValueError: a label that is no class of this coder.
        """
        if self.classes is None:
            assert isinstance(column, NumberColumn)
            return ((column.values[rows] - self.mean) / self.scale).astype(np.float32)
        return self._indices(column, rows, self.classes)

    def truth(
        self, column: ColumnValues, rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
        """What predictions are scored against: class indices, or float64 in the user's units; shape (rows,)."""
        if self.classes is None:
            assert isinstance(column, NumberColumn)
            return column.values[rows]
        return self._indices(column, rows, self.classes)

    def _indices(
        self, column: ColumnValues, rows: npt.NDArray[np.int64], classes: tuple[Label, ...]
    ) -> npt.NDArray[np.int64]:
        index_of = {label: i for i, label in enumerate(classes)}
        present = _labels(column)
        unknown = [label for label in present if label not in index_of]
        if unknown:
            raise ValueError(f"expected labels among {list(classes)}, however: {unknown[0]!r}")
        positions = np.array([index_of[label] for label in present], dtype=np.int64)
        if isinstance(column, CategoryColumn):
            return positions[column.codes[rows]]
        return positions[np.searchsorted(np.unique(column.values), column.values[rows])]

    def decode(self, outputs: npt.NDArray[Any]) -> list[Label] | npt.NDArray[np.float64]:
        """Labels of class indices, or standardised predictions in the target's own units; shape (rows,)."""
        if self.classes is None:
            return np.asarray(outputs, dtype=np.float64) * self.scale + self.mean
        return [self.classes[int(i)] for i in outputs]

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `from_json` gives an equal coder."""
        classes = None if self.classes is None else list(self.classes)
        return {"classes": classes, "mean": self.mean, "scale": self.scale}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> TargetCoder:
        """What `to_json` wrote."""
        classes = raw["classes"]
        return cls(None if classes is None else tuple(classes), float(raw["mean"]), float(raw["scale"]))


def _labels(column: ColumnValues) -> tuple[Label, ...]:
    if isinstance(column, CategoryColumn):
        return column.labels
    return tuple(int(v) if v.is_integer() else v for v in map(float, np.unique(column.values)))
