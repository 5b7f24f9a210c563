"""The transition tables: derived states, reachability, the diagram."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from foldstep.service.contract import states
from foldstep.service.contract.states import SearchState, TrialState

TABLES = [
    pytest.param(states.SearchState, SearchState.QUEUED, states.SearchEvent, states.SEARCH_TRANSITIONS, id="search"),
    pytest.param(states.TrialState, TrialState.WAITING, states.TrialEvent, states.TRIAL_TRANSITIONS, id="trial"),
    pytest.param(states.LeaseState, states.LeaseState.HELD, states.LeaseEvent, states.LEASE_TRANSITIONS, id="lease"),
]


def test_terminal_states_follow_from_the_tables() -> None:
    assert {SearchState.COMPLETED, SearchState.STOPPED, SearchState.FAILED} == states.TERMINAL_SEARCH
    assert {
        TrialState.COMPLETED, TrialState.PRUNED, TrialState.DIVERGED, TrialState.UNDEFINED, TrialState.FAILED,
        TrialState.CANCELLED,
    } == states.TERMINAL_TRIAL  # fmt: skip
    assert {states.LeaseState.RELEASED, states.LeaseState.EXPIRED} == states.TERMINAL_LEASE


@pytest.mark.parametrize(("kind", "start", "events", "table"), TABLES)
def test_every_event_is_in_the_table_and_every_state_is_reached(
    kind: Any, start: Any, events: Any, table: Mapping[Any, tuple[frozenset[Any], Any]]
) -> None:
    assert set(table) == set(events)
    reached = {start}
    for _ in kind:
        reached |= {target for sources, target in table.values() if sources & reached}
    assert reached == set(kind)


@pytest.mark.parametrize("table", [table.values[-1] for table in TABLES])
def test_the_diagram_has_every_move_once(table: Any) -> None:
    lines = states.diagram(table).splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert len(lines) - 1 == sum(len(sources) for sources, _ in table.values()) == len(set(lines)) - 1
    for event, (sources, target) in table.items():
        for source in sources:
            assert f"    {source} --> {target}: {event}" in lines
