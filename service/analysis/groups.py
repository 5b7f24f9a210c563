"""The values of a hyperparameter as groups of trials: its choices, or the parts of its range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.numbers import number
from foldstep.service.contract.space import Choices, Either, Fixed, FloatRange, IntRange, Space
from foldstep.service.contract.trial import TrialRecord

N_PARTS = 3
"""A range is split into this many equal parts, in its own scale, which are compared."""

FEWEST_OF_VALUE = 3
"""With fewer trials nothing is told of a value."""


@dataclass(frozen=True, eq=False)
class Group:
    """The trials of one choice, or of one part of a range.

    Attributes:
        value: the choice, or the part in words.
        trials: their indices, in order.
        n_scored: number of those with a finite loss.
        expected: the loss to expect of the best of equally many trials of the same time; None without a finite loss.
        low: an expected loss that is greater in only 1 of 10 such draws.
        high: an expected loss that is less in only 1 of 10.
    """

    value: str
    trials: npt.NDArray[np.int64]
    n_scored: int
    expected: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def is_rare(self) -> bool:
        """Whether it has too few trials to be told anything of."""
        return len(self.trials) < FEWEST_OF_VALUE


def groups_of(space: Space, by: str, trials: Sequence[TrialRecord], losses: npt.NDArray[np.float64]) -> list[Group]:
    """Group trials by the value of a hyperparameter that each of them has."""
    found: dict[str, list[int]] = {}
    for index, trial in enumerate(trials):
        found.setdefault(_value(space, by, trial.params[by]), []).append(index)
    indices = {value: np.array(group, dtype=np.int64) for value, group in found.items()}
    return [Group(value, group, int(np.isfinite(losses[group]).sum())) for value, group in indices.items()]


def _value(space: Space, by: str, value: Value) -> str:
    distribution = space.parameters[by]
    if isinstance(distribution, Either):
        if value in distribution.extra:
            return text(value)
        distribution = distribution.range
    if isinstance(distribution, FloatRange | IntRange) and distribution.low < distribution.high:
        if isinstance(distribution, IntRange) and distribution.high - distribution.low < N_PARTS:
            return str(value)
        part = min(int(distribution.to_unit(value) * N_PARTS), N_PARTS - 1)
        low, high = (distribution.from_unit(u) for u in (part / N_PARTS, (part + 1) / N_PARTS - 1e-9))
        return f"{text(low)} to {text(high)}"
    assert isinstance(distribution, Choices | Fixed | IntRange | FloatRange)
    return text(value)


def text(value: Value, digits: int = 3) -> str:
    """Write a value of a hyperparameter."""
    return number(value, digits) if isinstance(value, float) else str(value)
