"""The base of state machine tests over a master: a fresh database, a clock, workers that the test controls."""

from __future__ import annotations

import shutil
from abc import abstractmethod
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import RuleBasedStateMachine, rule

from foldstep.service.db.engine import Database
from foldstep.service.flow.context import Context
from foldstep.service.flow.sweep import sweep
from foldstep.service.flow.watch import Watch
from foldstep.service.settings import Settings
from tests.service.scenes import Clock, Hand, new_search

LEASE_S = 60


class MasterMachine(RuleBasedStateMachine):
    """A master with one search; subclasses define the model that it is compared with.

    Attributes:
        now: seconds since the start.

    Args:
        n_hands: number of workers.
        search: changes of the spec for `new_search`.
        settings: of the master.
    """

    original: Path
    folder: Path
    n_runs = 0

    def __init__(self, n_hands: int, search: dict[str, Any], **settings: int) -> None:
        super().__init__()
        type(self).n_runs += 1
        self.own = Settings(data_dir=self.folder / str(self.n_runs), **settings)  # type: ignore[arg-type]
        self.own.data_dir.mkdir()
        shutil.copy(self.original, self.own.data_dir / "foldstep.db")
        self.clock = Clock()
        self.context = self.new_context()
        self.search = new_search(self.context, **search)
        self.hands = [Hand(self.context, f"hand {i}") for i in range(n_hands)]
        self.now = 0.0

    def new_context(self) -> Context:
        return Context(Database(self.own.resolved_database_url), self.own, self.clock, Watch(self.clock.monotonic))

    def teardown(self) -> None:
        self.context.database.close()

    @abstractmethod
    def expire_in_model(self) -> None:
        """Expire in the model the leases that end now or earlier."""

    @rule(seconds=st.sampled_from([10, LEASE_S // 2, LEASE_S + 1]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.now += seconds
        sweep(self.context)
        self.expire_in_model()


def hold(machine: type[MasterMachine], original: Path, folder: Path, *, examples: int, steps: int) -> None:
    """Run random histories of a state machine.

    Args:
        machine: its class.
        original: a migrated SQLite database.
        folder: for the masters' folders.
        examples: number of histories.
        steps: largest number of rules in each.
    """
    machine.original, machine.folder = original, folder
    run = machine.TestCase
    run.settings = hypothesis_settings(max_examples=examples, stateful_step_count=steps)
    run().runTest()
