"""Follows one member: how far it is, whether it got better, and when it stops."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from foldstep.models.catalog.metrics import Direction
from foldstep.models.hyperparameters import Hyperparameters

MAX_RESTARTS = 2
RESTART_FACTOR = 0.1
"""Of the learning rate, at each restart."""


class End(StrEnum):
    """The reason why a member trains no more."""

    EPOCHS = "epochs"  # its epochs are used up
    PATIENCE = "patience"
    DIVERGED = "diverged"
    TIME = "time"  # its trial's time is over, or its search's
    DROPPED = "dropped"  # the master wants no more of its trial


@dataclass
class Progress:
    """One member's history, an entry an epoch, and its best epoch so far.

    Attributes:
        best_epoch: 1 for the first, 0 when there is none.
        waited: epochs since the best one.
        is_better: for each epoch, whether it was the best until then.
        restarts: the epochs, from 1, in which it diverged and went back to its best one, at a tenth of the rate.
        valid_loss: the loss on the validation part; None where it was not finite, or was not taken.
        seconds: in training so far, wall time of its packs.
        probes: readings as they travel, see `service.contract.diagnostics`.
    """

    train_loss: list[float | None] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    best_score: float | None = None
    best_epoch: int = 0
    waited: int = 0
    is_better: list[bool] = field(default_factory=list)
    end: End | None = None
    restarts: list[int] = field(default_factory=list)
    valid_loss: list[float | None] = field(default_factory=list)
    probes: list[list[float | None]] = field(default_factory=list)
    seconds: float = field(default=0.0, compare=False)

    @property
    def rate_factor(self) -> float:
        """What restarts have left of the learning rate."""
        return RESTART_FACTOR ** len(self.restarts)

    @property
    def epoch(self) -> int:
        """Epochs trained."""
        return len(self.scores)

    def record(self, loss: float, score: float, direction: Direction, hp: Hyperparameters) -> bool:
        """Add an epoch and decide whether to stop.

        Args:
            loss: mean training loss of the epoch.
            score: validation score after it.
            direction: whether more or less is better.
            hp: the member's hyperparameters (`epochs`, `patience`, `on_divergence`).

        Returns:
            Whether this epoch is the best so far. A diverged epoch that leads to a restart is noted in `restarts`, and
            all epochs after the best one are forgotten.
        """
        is_finite = math.isfinite(loss) and math.isfinite(score)
        if not is_finite and hp.on_divergence == "restart" and len(self.restarts) < MAX_RESTARTS:
            self._go_back()
            return False
        self.train_loss.append(loss if math.isfinite(loss) else None)
        self.scores.append(score if math.isfinite(score) else None)
        if not is_finite:
            self.end = End.DIVERGED
            return False
        better = self.best_score is None or direction.is_better(score, than=self.best_score)
        self.is_better.append(better)
        epoch = self.epoch
        if better:
            self.best_score, self.best_epoch, self.waited = score, epoch, 0
        else:
            self.waited += 1
        if epoch >= hp.epochs:
            self.end = End.EPOCHS
        elif hp.patience and self.waited >= hp.patience:
            self.end = End.PATIENCE
        return better

    def copy(self) -> Progress:
        """Copy the history, so that it does not change when this one does."""
        copied = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, list):
                setattr(copied, name, list(value))
        return copied

    def go_on(self, hp: Hyperparameters) -> None:
        """Let a history that ended with its epochs run over those of `hp`; what patience would have ended has ended."""
        if self.end is End.EPOCHS and self.epoch < hp.epochs:
            self.end = End.PATIENCE if hp.patience and self.waited >= hp.patience else None

    def _go_back(self) -> None:
        self.restarts.append(self.epoch + 1)
        for history in (self.train_loss, self.scores, self.is_better, self.valid_loss):
            del history[self.best_epoch :]
        self.probes = [numbers for numbers in self.probes if (numbers[0] or 0) <= self.best_epoch]
        self.waited = 0

    def to_json(self) -> dict[str, Any]:
        """Turn the record into JSON values; `from_json` gives an equal one."""
        return {**vars(self), "end": self.end.value if self.end else None}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Progress:
        """Read what `to_json` wrote, or an earlier version of it that saw no validation losses."""
        unseen = {"valid_loss": [None] * len(raw["scores"])}
        return cls(**{**unseen, **raw, "end": End(raw["end"]) if raw["end"] else None})
