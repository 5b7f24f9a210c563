"""Which networks a search predicts with: one rule for the master, which predicts by REST, and for its clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from foldstep.service.contract.calibration import NOTHING, Adjustments
from foldstep.service.contract.ensemble import Ensemble
from foldstep.service.contract.errors import InvalidInput
from foldstep.service.contract.leaderboard import SearchView, TrialView


class WeighedTrial(NamedTuple):
    """A trial that predicts, with its weight in the mean; what counts is its share of the sum of all weights."""

    trial: TrialView
    weight: float


def weighed_trials(
    search: SearchView,
    number: int | None,
    trial: Callable[[int], TrialView],
    ensemble: Callable[[], Ensemble | None],
) -> tuple[list[WeighedTrial], Adjustments]:
    """Choose the trials that predict together: those of the search's ensemble, or the one that is named.

    Args:
        search: the search.
        number: of a trial that is to predict alone; None for the ensemble.
        trial: finds a trial of the search by its number.
        ensemble: finds the ensemble of the search; None where no predictions were kept to choose one on.

    Returns:
        The trials, and what is done with the mean of what they say; nothing for a trial that is named, as out-of-fold
        rows were asked about the ensemble alone.

    Raises:
        InvalidInput: the search has no scored trial.
    """
    if number is not None:
        return [WeighedTrial(trial(number), 1.0)], NOTHING
    if search.best is None:
        raise InvalidInput(f"The search {search.id} has no scored trial yet, so nothing to predict with.")
    found = ensemble()
    if found is None:
        return [WeighedTrial(search.best, 1.0)], NOTHING
    return [WeighedTrial(trial(member.trial), member.weight) for member in found.members], found.adjustments


def kept_checkpoints(search: str, trial: TrialView) -> list[str]:
    """List the checkpoints of a trial.

    Raises:
        InvalidInput: there are none.
    """
    if not trial.checkpoints:
        raise InvalidInput(
            f"The search {search} keeps no checkpoints of trial {trial.trial}: "
            "which trials' are kept is said by `checkpoints` in its spec."
        )
    return trial.checkpoints


def words_for(search: str, trials: Sequence[TrialView]) -> str:
    """Say which networks predict, without a capital and a full stop."""
    if len(trials) > 1:
        n = sum(len(trial.checkpoints) for trial in trials)
        return f"{len(trials)} trials of {search}: the weighted mean of {n} networks"
    (trial,) = trials
    n = len(trial.checkpoints)
    networks = "the network of 1 fold" if n == 1 else f"the mean of the networks of {n} folds"
    rank = "" if trial.rank is None else f" (rank {trial.rank})"
    return f"trial {trial.trial}{rank} of {search}: {networks}"
