"""Defines what every way to take the steps of a pack offers."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from foldstep.worker.feed.epoch import EpochBatches
from foldstep.worker.feed.validation import Validated, Validation


class Steps(Protocol):
    """One way to take the steps of a pack.

    Attributes:
        columns: of the batches that it wants.
    """

    columns: int

    def run(
        self, batches: EpochBatches, steps: range, before: int, *, passes: bool = True, updates: bool = True
    ) -> Tensor:
        """Take some steps of an epoch.

        Args:
            batches: the epoch's, of `columns` columns.
            steps: which of them.
            before: how many steps the members have taken before this epoch.
            passes: whether to compute losses and gradients.
            updates: whether to apply the gradients; without `passes` those of the last pass.

        Returns:
            Each member's sum of losses over the steps, (members,).
        """

    def evaluate(self, validation: Validation) -> Validated:
        """Score the members on the validation rows of their groups, with the weights that are scored."""

    def keep_best(self, is_best: Tensor) -> None:
        """Remember the weights that are scored as the best ones of some members, (members,) bool."""


class FastSteps(Protocol):
    """One way to take whole steps, faster than operation by operation; the rest is left to `worker.steps.eager`."""

    def covers(self, steps: range, before: int) -> bool:
        """Tell whether it takes these steps of an epoch in its own way.

        Args:
            steps: which of the epoch's.
            before: how many steps the members have taken before this epoch.
        """

    def prepare(self, batches: EpochBatches, before: int) -> None:
        """Do what can fail on this machine, such as to compile, and change no number of any member.

        Raises:
            RuntimeError, OSError: it does not work here.
        """

    def run(self, batches: EpochBatches, steps: range, before: int) -> Tensor:
        """Take whole steps that it covers, as `Steps.run` does."""
