"""Which networks a search predicts with: one rule for the master, which predicts by REST, and for its clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from foldstep.service.contract.calibration import NOTHING, Adjustments
from foldstep.service.contract.ensemble import Ensemble
from foldstep.service.contract.errors import InvalidInput
from foldstep.service.contract.final import REFIT
from foldstep.service.contract.leaderboard import SearchView, TrialView
from foldstep.service.contract.states import TERMINAL_SEARCH, SearchState


class Reader(Protocol):
    """What searches are read by: a client, or the master itself."""

    def search(self, search: str) -> SearchView:
        """Find a search by its id."""

    def trial(self, search: str, number: int) -> TrialView:
        """Find a trial of a search by its number."""

    def ensemble(self, search: str) -> Ensemble | None:
        """Find the ensemble of a search; None where no predictions were kept to choose one on."""


class WeighedTrial(NamedTuple):
    """A trial that predicts.

    Attributes:
        trial: as `holder` has it; its checkpoints are those that predict, after a refit those of the refit.
        weight: in the mean; what counts is its share of the sum of all weights.
        holder: the search that has the checkpoints.
    """

    trial: TrialView
    weight: float
    holder: SearchView


class Choice(NamedTuple):
    """The trials that predict together.

    Attributes:
        trials: with their weights.
        adjustments: what is done with the mean of what they say; nothing for a trial that is named, as out-of-fold rows
            were asked about the ensemble alone.
        refit: the search that trained them again; None where the networks are those of the folds.
        why_not: why what the spec asks for does not predict, a refit or an ensemble that is trained; the end of a
            sentence that says so.
        words: what predicts together, where it was trained for that; see `Ensemble`.
    """

    trials: Sequence[WeighedTrial]
    adjustments: Adjustments = NOTHING
    refit: SearchView | None = None
    why_not: str | None = None
    words: str | None = None


class RefitFound(NamedTuple):
    """The refitted networks of trials that predict together; none where the networks of the folds predict.

    Attributes:
        search: the search that trained them.
        checkpoints: of each trial, by its number.
        why_not: see `Choice`.
        is_coming: whether there will be some.
    """

    search: SearchView | None = None
    checkpoints: Mapping[int, list[str]] = MappingProxyType({})
    why_not: str | None = None
    is_coming: bool = False


def choose(reader: Reader, search: SearchView, number: int | None = None, *, of_folds: bool = False) -> Choice:
    """Choose the trials that predict together: those of the search's ensemble, or the one that is named.

    The ensemble predicts by the networks of its refit, once that is there; a named trial by those of its folds.

    Args:
        reader: of searches.
        search: the search.
        number: of a trial that is to predict alone; None for the ensemble.
        of_folds: whether the networks of the folds are meant in any case, which know no row of their fold.

    Raises:
        InvalidInput: the search has no scored trial.
    """
    if number is not None:
        return Choice([WeighedTrial(reader.trial(search.id, number), 1.0, search)])
    if search.best is None:
        raise InvalidInput(f"The search {search.id} has no scored trial yet, so nothing to predict with.")
    found = reader.ensemble(search.id)
    if found is not None and found.words is not None:
        return Choice(list(_trained(reader, search, found)), found.adjustments, words=found.words)
    weights = {search.best.trial: 1.0} if found is None else {one.trial: one.weight for one in found.members}
    refit = RefitFound() if of_folds else refit_of(reader, search, list(weights))
    trials = [_weighed(reader, search, refit, *pair) for pair in weights.items()]
    if found is None:
        return Choice(trials, NOTHING, refit.search, refit.why_not)
    return Choice(trials, found.adjustments, refit.search, found.why_alone or refit.why_not)


def _trained(reader: Reader, search: SearchView, found: Ensemble) -> Iterator[WeighedTrial]:
    """List the members of an ensemble that was trained: trials of another search, and perhaps the best one."""
    holders = {name: reader.search(name) for name in {one.search for one in found.members} if name is not None}
    for one in found.members:
        holder = search if one.search is None else holders[one.search]
        yield WeighedTrial(reader.trial(holder.id, one.trial), one.weight, holder)


def _weighed(reader: Reader, search: SearchView, refit: RefitFound, number: int, weight: float) -> WeighedTrial:
    trial = reader.trial(search.id, number)
    if refit.search is None:
        return WeighedTrial(trial, weight, search)
    refitted = trial.model_copy(update={"checkpoints": refit.checkpoints[number]})
    return WeighedTrial(refitted, weight, refit.search)


def refit_of(reader: Reader, search: SearchView, numbers: Sequence[int]) -> RefitFound:
    """Find the refitted networks of some trials of a search, all of them or none."""
    if REFIT not in search.followers:
        return RefitFound()
    follower = search.followers[REFIT]
    if follower is None:
        return _without_one(search)
    refit = reader.search(follower)
    if refit.state is not SearchState.COMPLETED:
        is_coming = refit.state not in TERMINAL_SEARCH
        return RefitFound(why_not=f"its refit {refit.id} is {refit.state}", is_coming=is_coming)
    return _of_completed(reader, refit, numbers)


def _without_one(search: SearchView) -> RefitFound:
    if search.state not in TERMINAL_SEARCH:
        return RefitFound(why_not="its refit begins after its end")
    if search.state is SearchState.COMPLETED:
        return RefitFound(why_not="its refit was deleted")
    return RefitFound(why_not=f"it is {search.state}, and only a search that is completed is refitted")


def _of_completed(reader: Reader, refit: SearchView, numbers: Sequence[int]) -> RefitFound:
    known = {} if refit.refits is None else refit.refits.trials
    if not known.keys() >= set(numbers):
        return RefitFound(why_not=f"its refit {refit.id} is of other trials than those that predict by now")
    trials = {number: reader.trial(refit.id, known[number]) for number in numbers}
    bad = [number for number, trial in trials.items() if len(trial.checkpoints) < refit.n_folds]
    if bad:
        return RefitFound(why_not=f"trial {bad[0]} has no networks in its refit {refit.id}")
    return RefitFound(refit, {number: trial.checkpoints for number, trial in trials.items()})


def refit_sentences(refit: RefitFound) -> list[str]:
    """Say whether a search predicts with refitted networks; nothing where none were asked for."""
    if refit.search is None or refit.search.refits is None:
        return [] if refit.why_not is None else [f"The networks of the folds predict, since {refit.why_not}."]
    share, n = refit.search.refits.share, refit.search.n_folds
    return [
        f"It predicts with the networks of {refit.search.id}: each trial is trained again with {n} "
        f"{'seed' if n == 1 else 'seeds'} on {share:.0%} of the rows, and the others choose the epoch. Scores out of "
        "fold, and intervals, are those of the networks of the folds."
    ]


def kept_checkpoints(weighed: WeighedTrial) -> list[str]:
    """List the checkpoints of a trial.

    Raises:
        InvalidInput: there are none.
    """
    if not weighed.trial.checkpoints:
        raise InvalidInput(
            f"The search {weighed.holder.id} keeps no checkpoints of trial {weighed.trial.trial}: "
            "which trials' are kept is said by `checkpoints` in its spec."
        )
    return weighed.trial.checkpoints


def words_for(search: str, choice: Choice) -> str:
    """Say which networks predict, without a capital and a full stop."""
    trials = [one.trial for one in choice.trials]
    of_search = f"{search}{_refitted(choice)}"
    since = "" if choice.why_not is None else f", since {choice.why_not}"
    n = sum(len(trial.checkpoints) for trial in trials)
    if choice.words is not None:
        return f"{choice.words}, of {search}: {_networks(n, choice)}"
    if len(trials) > 1:
        of_folds = " of their folds" if since else ""
        return f"{len(trials)} trials of {of_search}: the weighted mean of {n} networks{of_folds}{since}"
    rank = "" if trials[0].rank is None else f" (rank {trials[0].rank})"
    return f"trial {trials[0].trial}{rank} of {of_search}: {_networks(n, choice)}{since}"


def _refitted(choice: Choice) -> str:
    if choice.refit is None or choice.refit.refits is None:
        return ""
    return f", refitted on {choice.refit.refits.share:.0%} of the rows"


def _networks(n: int, choice: Choice) -> str:
    if choice.refit is not None or choice.words is not None:
        return "1 network" if n == 1 else f"the mean of {n} networks"
    return "the network of 1 fold" if n == 1 else f"the mean of the networks of {n} folds"
