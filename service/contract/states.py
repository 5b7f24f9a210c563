"""The states of searches, trials and leases, and the events that move them.

The tables below are the only legal transitions. A state is written only by a compare-and-set whose
source states come from here; a transition that is not in the table raises `IllegalTransition`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar


class SearchState(StrEnum):
    """The state of a search."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"


class SearchEvent(StrEnum):
    """An event that changes the state of a search."""

    START = "start"  # the first trial is planned
    PAUSE = "pause"
    RESUME = "resume"
    COMPLETE = "complete"  # the budget is used, the target reached or the space exhausted
    STOP = "stop"  # a user ends it; its results stay
    EXTEND = "extend"  # a user gives a completed search more trials or time
    FAIL = "fail"  # it cannot continue; the reason is stored


class TrialState(StrEnum):
    """The state of a trial."""

    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"  # at a rung, until it is decided which trials continue
    COMPLETED = "completed"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    UNDEFINED = "undefined"  # its metric has no value in a fold, though losses and predictions are finite
    FAILED = "failed"
    CANCELLED = "cancelled"


class TrialEvent(StrEnum):
    """An event that changes the state of a trial."""

    LEASE = "lease"  # a worker takes it
    COMPLETE = "complete"
    PAUSE = "pause"  # it has reached a rung
    PROMOTE = "promote"  # it continues from its rung, also after it was pruned there
    PRUNE = "prune"  # it trains no further and keeps its score: not good enough at a rung, or out of time
    DIVERGE = "diverge"
    UNDEFINE = "undefine"  # its metric has no value in a fold
    FAIL = "fail"
    RETURN = "return"  # a worker gives it back, not counted as an attempt
    EXPIRE = "expire"  # its lease ended without its worker: nothing was heard of it, or it died
    REGAIN = "regain"  # that worker reports after all, and no other has taken it meanwhile
    GIVE_UP = "give_up"  # workers that trained it alone died too often
    CANCEL = "cancel"  # its search ended first
    REOPEN = "reopen"  # its search was extended after that


class LeaseState(StrEnum):
    """The state of a lease."""

    HELD = "held"
    RELEASED = "released"
    EXPIRED = "expired"


class LeaseEvent(StrEnum):
    """An event that changes the state of a lease."""

    RELEASE = "release"
    EXPIRE = "expire"
    REGAIN = "regain"  # its worker reports after all


S = TypeVar("S", SearchState, TrialState, LeaseState)
E = TypeVar("E", SearchEvent, TrialEvent, LeaseEvent)
Transitions = Mapping[E, tuple[frozenset[S], S]]

_OPEN = frozenset({SearchState.QUEUED, SearchState.RUNNING, SearchState.PAUSED})
_RUNNING = frozenset({TrialState.RUNNING})
_BEGUN = frozenset({TrialState.WAITING, TrialState.RUNNING, TrialState.PAUSED})
"""States from which a trial that has reached a rung may be pruned, as when its search ends."""

SEARCH_TRANSITIONS: Mapping[SearchEvent, tuple[frozenset[SearchState], SearchState]] = {
    SearchEvent.START: (frozenset({SearchState.QUEUED}), SearchState.RUNNING),
    SearchEvent.PAUSE: (frozenset({SearchState.QUEUED, SearchState.RUNNING}), SearchState.PAUSED),
    SearchEvent.RESUME: (frozenset({SearchState.PAUSED}), SearchState.RUNNING),
    SearchEvent.COMPLETE: (frozenset({SearchState.RUNNING}), SearchState.COMPLETED),
    SearchEvent.STOP: (_OPEN, SearchState.STOPPED),
    SearchEvent.EXTEND: (frozenset({SearchState.COMPLETED}), SearchState.RUNNING),
    SearchEvent.FAIL: (_OPEN, SearchState.FAILED),
}

TRIAL_TRANSITIONS: Mapping[TrialEvent, tuple[frozenset[TrialState], TrialState]] = {
    TrialEvent.LEASE: (frozenset({TrialState.WAITING}), TrialState.RUNNING),
    TrialEvent.COMPLETE: (_RUNNING, TrialState.COMPLETED),
    TrialEvent.PAUSE: (_RUNNING, TrialState.PAUSED),
    TrialEvent.PROMOTE: (frozenset({TrialState.PAUSED, TrialState.PRUNED}), TrialState.WAITING),
    TrialEvent.PRUNE: (_BEGUN, TrialState.PRUNED),
    TrialEvent.DIVERGE: (_RUNNING, TrialState.DIVERGED),
    TrialEvent.UNDEFINE: (_RUNNING, TrialState.UNDEFINED),
    TrialEvent.FAIL: (_RUNNING, TrialState.FAILED),
    TrialEvent.RETURN: (_RUNNING, TrialState.WAITING),
    TrialEvent.EXPIRE: (_RUNNING, TrialState.WAITING),
    TrialEvent.REGAIN: (frozenset({TrialState.WAITING}), TrialState.RUNNING),
    TrialEvent.GIVE_UP: (_RUNNING, TrialState.FAILED),
    TrialEvent.CANCEL: (frozenset({TrialState.WAITING, TrialState.RUNNING}), TrialState.CANCELLED),
    TrialEvent.REOPEN: (frozenset({TrialState.CANCELLED}), TrialState.WAITING),
}

LEASE_TRANSITIONS: Mapping[LeaseEvent, tuple[frozenset[LeaseState], LeaseState]] = {
    LeaseEvent.RELEASE: (frozenset({LeaseState.HELD}), LeaseState.RELEASED),
    LeaseEvent.EXPIRE: (frozenset({LeaseState.HELD}), LeaseState.EXPIRED),
    LeaseEvent.REGAIN: (frozenset({LeaseState.EXPIRED}), LeaseState.HELD),
}


_OPENS_AGAIN = frozenset({SearchEvent.EXTEND, TrialEvent.PROMOTE, TrialEvent.REOPEN, LeaseEvent.REGAIN})
"""Events that may reopen a search, trial or lease that had ended."""


def terminal(states: type[S], transitions: Mapping[E, tuple[frozenset[S], S]]) -> frozenset[S]:
    """Find the terminal states: those that no event leaves, except events that reopen what had ended."""
    left = [sources for event, (sources, _) in transitions.items() if event not in _OPENS_AGAIN]
    return frozenset(states) - frozenset[S]().union(*left)


TERMINAL_SEARCH = terminal(SearchState, SEARCH_TRANSITIONS)
TERMINAL_TRIAL = terminal(TrialState, TRIAL_TRANSITIONS)
TERMINAL_LEASE = terminal(LeaseState, LEASE_TRANSITIONS)


def diagram(transitions: Mapping[E, tuple[frozenset[S], S]]) -> str:
    """Write a table of transitions as a Mermaid state diagram, for the documentation."""
    moves: list[tuple[str, str, str]] = []
    for event, (sources, target) in transitions.items():
        moves += [(str(source), str(target), str(event)) for source in sources]
    return "\n".join(["stateDiagram-v2", *(f"    {s} --> {t}: {e}" for s, t, e in sorted(moves))])
