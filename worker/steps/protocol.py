"""Define the interfaces of the ways to take the steps of a pack."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from foldstep.worker.feed.epoch import EpochBatches
from foldstep.worker.feed.validation import Validated, Validation


class Steps(Protocol):
    """One implementation of the steps of a pack, and of their evaluation.

    Attributes:
        columns: number of columns of the batches that it reads.
    """

    columns: int

    def run(
        self, batches: EpochBatches, steps: range, before: int, *, passes: bool = True, updates: bool = True
    ) -> Tensor:
        """Take some steps of an epoch.

        Args:
            batches: the epoch's batches, with `columns` columns.
            steps: indices of the steps in the epoch, from 0.
            before: number of steps that the members have taken before this epoch.
            passes: whether to compute losses and gradients.
            updates: whether to update the parameters; without `passes`, by the gradients of the last pass.

        Returns:
            Each member's sum of losses over the steps, (members,).
        """

    def evaluate(self, validation: Validation) -> Validated:
        """Score the members on the validation rows of their groups, with their weights or running averages."""

    def keep_best(self, is_best: Tensor) -> None:
        """Copy the scored weights of the members with `is_best`, (members,) bool, to the stack of best weights."""


class FastSteps(Protocol):
    """One way to take whole steps faster than the eager backend, which takes all other steps and evaluates."""

    def covers(self, steps: range, before: int) -> bool:
        """Tell whether it can take these steps of an epoch.

        Args:
            steps: indices of the steps in the epoch, from 0.
            before: number of steps that the members have taken before this epoch.
        """

    def prepare(self, batches: EpochBatches, before: int) -> None:
        """Do everything that can fail on this machine, such as compiling, without changing a number of a member.

        Raises:
            RuntimeError, OSError: it does not work on this machine.
        """

    def run(self, batches: EpochBatches, steps: range, before: int) -> Tensor:
        """Take whole steps that it covers; see `Steps.run`."""
