"""The curves and measurements of one fold of a trial, with the quantities that diagnoses are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median

from foldstep.models.catalog.schedules import SCHEDULES
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.service.contract.diagnostics import Reading
from foldstep.service.contract.report import FoldResult

FEWEST_EPOCHS = 4
"""With fewer epochs the course of a loss is not judged."""


@dataclass(frozen=True)
class FoldCurves:
    """One fold, with the quantities that the rules use."""

    hp: Hyperparameters
    result: FoldResult

    @cached_property
    def readings(self) -> list[Reading]:
        """The measurements taken while it trained, in order."""
        return self.result.diagnostics.readings if self.result.diagnostics is not None else []

    @cached_property
    def train_loss(self) -> list[float]:
        """The losses of training by epoch, those that are known."""
        return [v for v in self.result.curve.train_loss if v is not None]

    @cached_property
    def valid_loss(self) -> list[float]:
        """The losses of validation by epoch, those that are known."""
        known = self.result.diagnostics.valid_loss if self.result.diagnostics is not None else []
        return [v for v in known if v is not None]

    @property
    def diverged_in(self) -> int | None:
        """The first epoch (from 1) whose loss or score was not finite; None where the metric is undefined."""
        pairs = zip(self.result.curve.train_loss, self.result.curve.score, strict=True)
        first = next((i for i, pair in enumerate(pairs, start=1) if None in pair), None)
        return None if first == self.undefined_in else first

    @property
    def undefined_in(self) -> int | None:
        """The first epoch (from 1) without a score though its losses were finite; None where there is none."""
        known = self.result.diagnostics.valid_loss if self.result.diagnostics is not None else []
        epochs = zip(self.result.curve.score, self.result.curve.train_loss, known, strict=False)
        has_none = [score is None and None not in losses for score, *losses in epochs]
        return has_none.index(True) + 1 if any(has_none) else None

    @property
    def last(self) -> Reading | None:
        """The last measurement."""
        return self.readings[-1] if self.readings else None

    @property
    def chance(self) -> float | None:
        """The loss of chance."""
        return self.last.chance_loss if self.last is not None else None

    @property
    def fit(self) -> float | None:
        """The last loss on training rows, as a share of the chance loss."""
        if self.last is None or self.last.train_loss is None or not self.last.chance_loss:
            return None
        return self.last.train_loss / self.last.chance_loss

    @cached_property
    def ratio(self) -> float | None:
        """The greatest over all probes of the median update ratio of the layers; None where it is not known.

        It is not known either where the last epoch alone was probed, under a schedule that lets the rate fall to 0.
        """
        if SCHEDULES[self.hp.schedule].ends_low and all(reading.epoch == self.hp.epochs for reading in self.readings):
            return None
        ratios = [[r.update_ratio for r in reading.layers if r.update_ratio is not None] for reading in self.readings]
        return max((median(r) for r in ratios if r), default=None)

    @property
    def tail(self) -> int:
        """A tenth of the epochs, at least one."""
        return max(1, self.result.epochs // 10)

    def fall(self, losses: Sequence[float]) -> float | None:
        """Compute the relative fall from the mean of the second last tenth of the epochs to that of the last tenth.

        None with too few losses.
        """
        if len(losses) < FEWEST_EPOCHS or len(losses) < 2 * self.tail:
            return None
        before, now = fmean(losses[-2 * self.tail : -self.tail]), fmean(losses[-self.tail :])
        return 1 - now / before if before > 0 else None

    def has_risen(self, losses: Sequence[float]) -> bool:
        """Tell whether the last tenth of the epochs is above an earlier tenth, or rises itself."""
        tail, last = self.tail, losses[-self.tail :]
        earlier = [fmean(losses[i : i + tail]) for i in range(len(losses) - 2 * tail + 1)]
        half = tail // 2
        return fmean(last) > min(earlier) or (half > 0 and fmean(last[-half:]) > fmean(last[:half]))
