"""Conversion of a target into what a network learns, and of a network's output into what a user reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.preparation import Preparation
from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.columns import CategoryColumn, ColumnValues, Label, NumberColumn, class_labels
from foldstep.service.contract.rules import class_named
from foldstep.worker.data.target_transforms import TRANSFORMS

_PLAIN = Preparation()
LINKS = ("identity", "log")
_LEAST_COUNT = 0.5
"""Sum of counts that is assumed for a training part whose counts are all zero, since the log of 0 is not finite."""


@dataclass(frozen=True)
class TargetCoder:
    """The classes of a classification, or the mean and scale of a regression.

    With the link `identity` a network learns the standardised target; with the link `log` it learns the log of a
    count's rate, as a distance from the log of the training part's mean rate: the count's mean is
    exp(output + mean) * exposure. A transform comes before the standardisation, and is undone in predictions.

    Attributes:
        classes: sorted labels as users wrote them; None for regression. They come from all rows, so that every
            fold has the same outputs; that a class exists is part of the task, not a statistic.
        mean: of the training part's target, or the log of its mean rate; 0 for classification.
        scale: population standard deviation of the training part's target; 1 where it is constant.
        link: `identity` or `log`.
        quantiles: levels of the quantiles that are learned, ascending, one output each; none for one value.
        transform: a name in `TRANSFORMS`, or `none`; with it, mean and scale are those of the transformed target.
        state: what was fitted of the transform.
        ends: least and greatest value of the training part, which bound predictions; None for no bounds.
        each: the coders of several targets or labels, in their order, which `worker.data.targets` reads and writes
            with; none for one target. The other attributes then say nothing.

    Raises:
        ValueError: another link or transform.
    """

    classes: tuple[Label, ...] | None
    mean: float = 0.0
    scale: float = 1.0
    link: str = "identity"
    quantiles: tuple[float, ...] = ()
    transform: str = "none"
    state: tuple[float, ...] = ()
    ends: tuple[float, float] | None = None
    each: tuple[TargetCoder, ...] = ()

    def __post_init__(self) -> None:
        if self.link not in LINKS:
            raise ValueError(f"expected a link among {', '.join(LINKS)}, however: {self.link}")
        if self.transform not in ("none", *TRANSFORMS):
            raise ValueError(f"expected a transform among {', '.join(TRANSFORMS)}, however: {self.transform}")

    @classmethod
    def fit(
        cls,
        column: ColumnValues,
        train_rows: npt.NDArray[np.int64],
        task: Task,
        how: Preparation = _PLAIN,
        exposure: npt.NDArray[np.float64] | None = None,
        quantiles: tuple[float, ...] = (),
    ) -> TargetCoder:
        """Find the classes of the whole column, or compute the moments of its training rows.

        Args:
            column: the target.
            train_rows: the training part.
            task: the search's.
            how: its link, transform and clamp; only the link identity has the other two.
            exposure: of each training row, for the link `log`; None for 1.
            quantiles: see the class.

        Raises:
            TypeError: a text column as the target of a regression.
        """
        if task == "classification":
            return cls(classes=class_labels(column))
        if isinstance(column, CategoryColumn):
            raise TypeError("a regression needs a target of numbers, however: it is text")
        values = column.values[train_rows]
        if how.link == "log":
            exposed = float(len(values)) if exposure is None else float(exposure.sum())
            return cls(classes=None, mean=math.log(max(float(values.sum()), _LEAST_COUNT) / exposed), link="log")
        ends = (float(values.min()), float(values.max())) if how.clamps else None
        state: tuple[float, ...] = ()
        if how.target_transform != "none":
            transform = TRANSFORMS[how.target_transform]
            state = transform.fit(values)
            values = transform.apply(values, state)
        mean, scale = float(values.mean()), float(values.std())
        is_constant = scale <= 10 * np.finfo(np.float64).eps * abs(mean)
        spread = 1.0 if is_constant else scale
        return cls(None, mean, spread, "identity", quantiles, how.target_transform, state, ends)

    @property
    def task(self) -> Task:
        """The task of the networks that learn the target."""
        if self.each and self.each[0].classes is not None:
            return "multilabel"
        return "regression" if self.classes is None else "classification"

    @property
    def n_targets(self) -> int:
        """The number of targets or labels."""
        return len(self.each) or 1

    @property
    def standardises(self) -> bool:
        """Whether networks learn the standardised target; else classes, or counts as they are."""
        return self.classes is None and self.link == "identity"

    @property
    def is_affine(self) -> bool:
        """Whether a prediction is output * scale + mean, or a class."""
        return self.link == "identity" and self.transform == "none" and self.ends is None and not self.each

    @property
    def n_outputs(self) -> int:
        """Output units of the network: one a class, one a quantile, one a target or label, or 1."""
        if self.each:
            return len(self.each)
        return len(self.quantiles) or 1 if self.classes is None else len(self.classes)

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
            return self.standardised(column.values[rows]).astype(np.float32)
        return self._indices(column, rows, self.classes)

    def standardised(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Transform and standardise values in the target's own units, for the link identity."""
        if self.transform != "none":
            values = TRANSFORMS[self.transform].apply(values, self.state)
        return (values - self.mean) / self.scale

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

        Quantiles are sorted, so that none crosses another: that makes no pinball loss greater (Chernozhukov,
        Fernandez-Val and Galichon 2010).

        Args:
            outputs: (..., rows), or (..., quantiles, rows), or of several targets (..., targets, rows).
            exposure: (rows,), for the link `log`; None for 1.
        """
        if self.each:
            return np.stack([one.values(outputs[..., t, :], None) for t, one in enumerate(self.each)], axis=-2)
        values: npt.NDArray[np.float64] = np.asarray(outputs, dtype=np.float64) * self.scale + self.mean
        if self.transform != "none":
            values = TRANSFORMS[self.transform].undo(values, self.state)
        if self.link == "identity":
            values = np.sort(values, axis=-2) if self.quantiles else values
            return values if self.ends is None else np.clip(values, *self.ends)
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

    def spread(self, choice: str, y_train: npt.NDArray[Any]) -> npt.NDArray[np.float64] | None:
        """Compute the share of each class in what label smoothing spreads, (classes,); None for equal shares.

        `frequencies` are the shares of the classes in the rows of the training part.
        """
        if self.classes is None or choice == "uniform":
            return None
        return np.bincount(y_train, minlength=len(self.classes)) / len(y_train)

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values; `from_json` gives an equal coder."""
        if self.each:
            return {"each": [one.to_json() for one in self.each]}
        classes = None if self.classes is None else list(self.classes)
        first = {
            "classes": classes,
            "mean": self.mean,
            "scale": self.scale,
            "link": self.link,
            "quantiles": list(self.quantiles),
        }
        if self.transform == "none" and self.ends is None:
            return first  # as earlier versions wrote it
        ends = None if self.ends is None else list(self.ends)
        return {**first, "transform": self.transform, "state": list(self.state), "ends": ends}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> TargetCoder:
        """Read what `to_json` wrote."""
        if "each" in raw:
            return cls(None, each=tuple(map(cls.from_json, raw["each"])))
        classes = raw["classes"]
        numbers = float(raw["mean"]), float(raw["scale"])
        quantiles = tuple(float(level) for level in raw.get("quantiles", ()))  # none in those of earlier versions
        ends, state = raw.get("ends"), tuple(map(float, raw.get("state", ())))
        bounds = None if ends is None else (float(ends[0]), float(ends[1]))
        named = None if classes is None else tuple(classes)
        return cls(named, *numbers, raw["link"], quantiles, raw.get("transform", "none"), state, bounds)
