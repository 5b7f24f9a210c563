"""Conversion of a target into what a network learns, and of a network's output into what a user reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.columns import CategoryColumn, ColumnValues, Label, NumberColumn, class_labels
from foldstep.service.contract.rules import class_named

LINKS = ("identity", "log")
_LEAST_COUNT = 0.5
"""Sum of counts that is assumed for a training part whose counts are all zero, since the log of 0 is not finite."""


@dataclass(frozen=True)
class TargetCoder:
    """The classes of a classification, or the mean and scale of a regression.

    With the link `identity` a network learns the standardised target; with the link `log` it learns the log of a
    count's rate, as a distance from the log of the training part's mean rate: the count's mean is
    exp(output + mean) * exposure.

    Attributes:
        classes: sorted labels as users wrote them; None for regression. They come from all rows, so that every
            fold has the same outputs; that a class exists is part of the task, not a statistic.
        mean: of the training part's target, or the log of its mean rate; 0 for classification.
        scale: population standard deviation of the training part's target; 1 where it is constant.
        link: `identity` or `log`.

    Raises:
        ValueError: another link.
    """

    classes: tuple[Label, ...] | None
    mean: float = 0.0
    scale: float = 1.0
    link: str = "identity"

    def __post_init__(self) -> None:
        if self.link not in LINKS:
            raise ValueError(f"expected a link among {', '.join(LINKS)}, however: {self.link}")

    @classmethod
    def fit(
        cls,
        column: ColumnValues,
        train_rows: npt.NDArray[np.int64],
        task: Task,
        link: str = "identity",
        exposure: npt.NDArray[np.float64] | None = None,
    ) -> TargetCoder:
        """Find the classes of the whole column, or compute the moments of its training rows.

        Args:
            column: the target.
            train_rows: the training part.
            task: the search's.
            link: see the class.
            exposure: of each training row, for the link `log`; None for 1.

        Raises:
            TypeError: a text column as the target of a regression.
        """
        if task == "classification":
            return cls(classes=class_labels(column))
        if isinstance(column, CategoryColumn):
            raise TypeError("a regression needs a target of numbers, however: it is text")
        values = column.values[train_rows]
        if link == "log":
            exposed = float(len(values)) if exposure is None else float(exposure.sum())
            return cls(classes=None, mean=math.log(max(float(values.sum()), _LEAST_COUNT) / exposed), link=link)
        mean, scale = float(values.mean()), float(values.std())
        is_constant = scale <= 10 * np.finfo(np.float64).eps * abs(mean)
        return cls(classes=None, mean=mean, scale=1.0 if is_constant else scale)

    @property
    def standardises(self) -> bool:
        """Whether networks learn the standardised target; else classes, or counts as they are."""
        return self.classes is None and self.link == "identity"

    @property
    def n_outputs(self) -> int:
        """Output units of the network: one a class, or 1."""
        return 1 if self.classes is None else len(self.classes)

    def encode(
        self, column: ColumnValues, rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64] | npt.NDArray[np.float32]:
        """Encode as int64 class indices, or as float32 the standardised target or (link `log`) count; shape (rows,).

        Raises:
            ValueError: a label that is no class of this coder.
        """
        if self.classes is None:
            assert isinstance(column, NumberColumn)
            if not self.standardises:
                return column.values[rows].astype(np.float32)
            return ((column.values[rows] - self.mean) / self.scale).astype(np.float32)
        return self._indices(column, rows, self.classes)

    def truth(
        self, column: ColumnValues, rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
        """Return what predictions are scored against: class indices, or float64 in the user's units; shape (rows,)."""
        if self.classes is None:
            assert isinstance(column, NumberColumn)
            return column.values[rows]
        return self._indices(column, rows, self.classes)

    def _indices(
        self, column: ColumnValues, rows: npt.NDArray[np.int64], classes: tuple[Label, ...]
    ) -> npt.NDArray[np.int64]:
        index_of = {label: i for i, label in enumerate(classes)}
        present = class_labels(column)
        unknown = [label for label in present if label not in index_of]
        if unknown:
            raise ValueError(f"expected labels among {list(classes)}, however: {unknown[0]!r}")
        positions = np.array([index_of[label] for label in present], dtype=np.int64)
        if isinstance(column, CategoryColumn):
            return positions[column.codes[rows]]
        return positions[np.searchsorted(np.unique(column.values), column.values[rows])]

    def labels(self, indices: npt.NDArray[np.int64]) -> list[Label]:
        """Find the labels of class indices, as users wrote them."""
        assert self.classes is not None
        return [self.classes[int(i)] for i in indices]

    def values(self, outputs: npt.NDArray[Any], exposure: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float64]:
        """Convert a network's outputs to predictions in the target's own units, shape (..., rows).

        Args:
            outputs: (..., rows).
            exposure: (rows,), for the link `log`; None for 1.
        """
        values: npt.NDArray[np.float64] = np.asarray(outputs, dtype=np.float64) * self.scale + self.mean
        if self.link == "identity":
            return values
        with np.errstate(over="ignore"):  # an infinite prediction is scored as one
            return np.exp(values) * (1.0 if exposure is None else exposure)

    def class_weights(
        self, choice: str | tuple[tuple[str, float], ...], y_train: npt.NDArray[Any]
    ) -> npt.NDArray[np.float64] | None:
        """Compute the weight of each class in the loss, (classes,); None for none.

        `balanced` is rows / (present classes * rows of the class) over the training part (King and Zeng 2001); classes
        that a mapping does not name, or that are not present in the training part, weigh 1.

        Raises:
            ValueError: another word.
        """
        if self.classes is None or choice == "none":
            return None
        if not isinstance(choice, str):
            labels = [str(label) for label in self.classes]
            named = {class_named(key, labels): weight for key, weight in choice}
            return np.array([named.get(label, 1.0) for label in labels])
        if choice != "balanced":
            raise ValueError(f"expected none, balanced or a mapping as class weights, however: {choice}")
        counts = np.bincount(y_train, minlength=len(self.classes))
        n_present = int((counts > 0).sum())
        return np.where(counts > 0, len(y_train) / (n_present * np.maximum(counts, 1)), 1.0)

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values; `from_json` gives an equal coder."""
        classes = None if self.classes is None else list(self.classes)
        return {"classes": classes, "mean": self.mean, "scale": self.scale, "link": self.link}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> TargetCoder:
        """Read what `to_json` wrote."""
        classes = raw["classes"]
        numbers = float(raw["mean"]), float(raw["scale"])
        return cls(None if classes is None else tuple(classes), *numbers, raw["link"])


def unweighted(probabilities: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Undo class weights in the probabilities of a network: p(c) = p_w(c) / w(c), over their sum; (rows, classes).

    Where weights w multiply the loss, the best network gives p_w(c) proportional to w(c) p(c), as if each class were
    w(c) times as frequent (Elkan 2001, "The foundations of cost-sensitive learning", theorem 2; for several classes
    Saerens, Latinne and Decaestecker 2002, equation 2.4).

    Args:
        probabilities: of a network that was trained with the weights, (rows, classes).
        weights: of each class in the loss, above 0, (classes,).
    """
    shares = probabilities * (weights.min() / weights)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
