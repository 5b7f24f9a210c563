"""Track the progress of one member, and decide when it stops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import Any

from foldstep.models.catalog.metrics import Metric
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.worker.train.scoring import average

MAX_RESTARTS = 2
RESTART_FACTOR = 0.1
"""Factor on the learning rate at each restart."""


class End(StrEnum):
    """The reason why a member has ended."""

    EPOCHS = "epochs"  # its epochs are used up
    PATIENCE = "patience"
    DIVERGED = "diverged"
    UNDEFINED = "undefined"  # its metric has no value though losses and predictions are finite
    TIME = "time"  # the time limit of its trial, or of its search, is reached
    DROPPED = "dropped"  # the master has dropped its trial


@dataclass
class Progress:
    """One member's history, with one entry for each epoch, and its best epoch so far: that of the best average.

    Attributes:
        train_loss: mean training loss; None if it was not finite.
        scores: validation score; None if it was not finite.
        averages: for each epoch with a score, the mean of the scores up to it, see `averaging_width`.
        best_epoch: number of the best epoch, from 1; 0 if there is none.
        waited: number of epochs since the best one.
        is_better: for each epoch, whether its average was better than all before.
        end: why the member has ended; None if it has not.
        restarts: the epochs, from 1, in which it diverged and went back to its best epoch, at a tenth of the rate.
        valid_loss: validation loss; None if it was not finite or not recorded.
        undefined: why its metric has no value, in words; None while it has one.
        seconds: training time so far, wall time of its packs in seconds.
        probes: measurements as sent to the master, see `service.contract.diagnostics`.
        target_scores: the scores of each of several targets, of which the score is the mean; an epoch's is empty for
            one target.
        counts_from: number of first epochs that count neither for its score nor for its best epoch once it has more,
            as they are those of a trial that it continues; 0 where all epochs count.
    """

    train_loss: list[float | None] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    averages: list[float] = field(default_factory=list)
    best_epoch: int = 0
    waited: int = 0
    is_better: list[bool] = field(default_factory=list)
    end: End | None = None
    restarts: list[int] = field(default_factory=list)
    valid_loss: list[float | None] = field(default_factory=list)
    probes: list[list[float | None]] = field(default_factory=list)
    undefined: str | None = None
    target_scores: list[list[float]] = field(default_factory=list)
    counts_from: int = 0
    seconds: float = field(default=0.0, compare=False)

    @property
    def has_score(self) -> bool:
        """Whether it has a score so far; one that diverged, or whose metric has no value, has none."""
        return self.best_epoch > 0 and self.end not in (End.DIVERGED, End.UNDEFINED)

    @property
    def best_average(self) -> float | None:
        """The average at the best epoch; None if there is none."""
        return self.averages[self.best_epoch - 1] if self.best_epoch else None

    @property
    def rate_factor(self) -> float:
        """The factor of all restarts on the learning rate."""
        return RESTART_FACTOR ** len(self.restarts)

    @property
    def epoch(self) -> int:
        """Number of epochs trained."""
        return len(self.scores)

    def record(
        self,
        loss: float,
        valid_loss: float,
        score: float,
        metric: Metric,
        hp: Hyperparameters,
        target_scores: Sequence[float] = (),
    ) -> bool:
        """Add an epoch to the history and decide whether the member ends.

        A score that is not finite is a divergence where a loss is not finite either. Where both are, the metric itself
        is undefined: the predictions are finite, and the data or the unit of the target leave it without a value.

        Args:
            loss: mean training loss of the epoch.
            valid_loss: validation loss after it.
            score: validation score after it.
            metric: the metric of the scores.
            hp: the member's hyperparameters (`epochs`, `patience`, `on_divergence`).
            target_scores: those of each of several targets, of which the score is the mean.

        Returns:
            Whether this epoch is the best so far. A diverged epoch that leads to a restart is added to `restarts`,
            and all epochs after the best one are removed.
        """
        is_finite = math.isfinite(loss) and math.isfinite(score)
        is_undefined = not is_finite and math.isfinite(loss) and math.isfinite(valid_loss)
        if is_undefined and metric.undefined_where is not None:
            self.train_loss.append(loss)
            self.scores.append(None)
            self.end, self.undefined = End.UNDEFINED, f"{metric.name} is undefined: {metric.undefined_where}"
            return False
        if not is_finite and hp.on_divergence == "restart" and len(self.restarts) < MAX_RESTARTS:
            self._go_back()
            return False
        self.train_loss.append(loss if math.isfinite(loss) else None)
        self.scores.append(score if math.isfinite(score) else None)
        if not is_finite:
            self.end = End.DIVERGED
            return False
        epoch = self.epoch
        is_first = epoch == self.counts_from + 1
        best = None if is_first else self.best_average
        self.averages.append(average(self.scores[self.counts_from :] if epoch > self.counts_from else self.scores))
        self.target_scores.append(list(target_scores))
        better = best is None or metric.direction.is_better(self.averages[-1], than=best)
        self.is_better.append(better)
        self.best_epoch, self.waited = (epoch, 0) if better else (self.best_epoch, self.waited + 1)
        if epoch >= hp.epochs:
            self.end = End.EPOCHS
        elif hp.patience and self.waited >= hp.patience:
            self.end = End.PATIENCE
        return better

    def averages_of_targets(self, epoch: int) -> list[float]:
        """Average the scores of each of several targets as those of an epoch, from 1; nothing for one target."""
        return [average(scores) for scores in zip(*self.target_scores[:epoch], strict=True)]

    def copy(self) -> Progress:
        """Copy the history, so that later changes of this one do not affect the copy."""
        copied = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, list):
                setattr(copied, name, list(value))
        return copied

    def go_on(self, hp: Hyperparameters) -> None:
        """Reopen a history that ended with its epochs, if `hp` has more; end it if `patience` is already exceeded."""
        if self.end is End.EPOCHS and self.epoch < hp.epochs:
            self.end = End.PATIENCE if hp.patience and self.waited >= hp.patience else None

    def _go_back(self) -> None:
        self.restarts.append(self.epoch + 1)
        for history in (
            self.train_loss, self.scores, self.averages, self.target_scores, self.is_better, self.valid_loss
        ):  # fmt: skip
            del history[self.best_epoch :]
        self.probes = [numbers for numbers in self.probes if (numbers[0] or 0) <= self.best_epoch]
        self.waited = 0

    def to_json(self) -> dict[str, Any]:
        """Convert the history to JSON values; `from_json` restores it."""
        return {**vars(self), "end": self.end.value if self.end else None}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Progress:
        """Restore a history from values of `to_json`, also of earlier versions.

        They had no validation losses, or no averages: their best epoch was that of the best score.

        Raises:
            ValueError: the values are not those of a history.
        """
        scores = raw["scores"]
        unseen: dict[str, Any] = {"valid_loss": [None] * len(scores)}
        if "averages" not in raw:
            known = [score for score in scores if score is not None]
            unseen |= {"averages": known, "target_scores": [[] for _ in known]}
        told = {name: value for name, value in raw.items() if name != "best_score"}
        progress = cls(**{**unseen, **told, "end": End(raw["end"]) if raw["end"] else None})
        progress._check()
        return progress

    def _check(self) -> None:
        numbers = [*self.train_loss, *self.scores, *self.valid_loss, *chain.from_iterable(self.target_scores)]
        counts = [self.best_epoch, self.waited, self.counts_from, *self.restarts]
        if not (
            all(value is None or type(value) in (float, int) for value in numbers)
            and all(type(value) in (float, int) for value in self.averages)
            and all(type(count) is int and count >= 0 for count in counts)
            and all(isinstance(row, list) for row in (self.is_better, *self.probes))
            and type(self.seconds) in (float, int)
            and len(self.train_loss) == len(self.scores)
            and self.best_epoch <= len(self.averages) == len(self.target_scores) <= len(self.scores)
            and (self.undefined is None or isinstance(self.undefined, str))
        ):
            raise ValueError("a history of epochs, however: other values")
