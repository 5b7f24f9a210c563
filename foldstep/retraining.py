"""A search as its workers see it, and a trial of it to train once more: for commands that train on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from foldstep.client import Foldstep
from foldstep.service.contract.errors import Conflict
from foldstep.service.contract.leaderboard import TrialView
from foldstep.service.contract.lease import LeasedTrial, SearchContext
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.states import TrialState

if TYPE_CHECKING:
    from foldstep.worker.client import MasterClient

_TRAINED = (TrialState.COMPLETED, TrialState.DIVERGED, TrialState.PRUNED)


@dataclass(frozen=True)
class Retraining:
    """All that it takes to train a trial again.

    Attributes:
        stored: what the master has of the trial.
        client: the master, as workers ask it.
        context: the trial's search, as workers are told of it.
        leased: the trial, as a worker would get it.
    """

    stored: TrialView
    client: MasterClient
    context: SearchContext
    leased: LeasedTrial


def retraining(master: Foldstep, search: str, trial: int) -> Retraining:
    """Ask the master for what it takes to train a trial again; it checks the spec against its data once more.

    Raises:
        Conflict: the trial was not trained to its end, so there is nothing to train again.
        SpecInvalid: the data no longer fits the spec.
    """
    stored = master.trial(search, trial)
    if stored.state not in _TRAINED:
        raise Conflict(
            f"Trial {trial} of {search} is {stored.state}; only a trial that was trained can be trained again."
        )
    context = context_from(master, master.spec(search), search)
    return Retraining(stored, worker_client(master), context, _leased(stored, _legs(master, search, stored)))


def worker_client(master: Foldstep) -> MasterClient:
    """The same master, as workers ask it."""
    from foldstep.worker.client import MasterClient

    return MasterClient(master.connection)


def context_from(master: Foldstep, submitted: dict[str, Any], search: str) -> SearchContext:
    """What a worker would be told of a search with such a spec.

    Raises:
        SpecInvalid: the spec has faults, or the data does not fit it.
    """
    checked = master.validate(submitted)
    spec = parse_spec(submitted)
    return SearchContext(
        search=search,
        seed=spec.seed,
        data=spec.data.model_copy(update={"target": checked.target, "task": checked.task}),
        task=checked.task,
        cv=spec.cv,
        metric=checked.metric,
        fingerprint=checked.fingerprint,
    )


def _legs(master: Foldstep, search: str, stored: TrialView) -> list[int]:
    """The epochs of the trials that it continues, the first one's first."""
    legs: list[int] = []
    while stored.continues is not None:
        stored = master.trial(search, stored.continues)
        legs.insert(0, stored.epochs)
    return legs


def _leased(stored: TrialView, legs: list[int]) -> LeasedTrial:
    """A trial that was pruned, to the epoch and with the folds that it came to."""
    is_pruned = stored.state is TrialState.PRUNED
    until, folds = (stored.epoch, len(stored.folds)) if is_pruned else (None, None)
    return LeasedTrial(number=stored.trial, params=stored.params, until=until, folds=folds, legs=legs)
