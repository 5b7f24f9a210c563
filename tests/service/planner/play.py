"""Searches without training: a function gives each trial's loss, and trials end in a random order."""

from __future__ import annotations

import random
from collections.abc import Callable

from foldstep.service.contract.space import Params
from foldstep.service.contract.states import TrialState
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.base import Planner

Judge = Callable[[Params], float | None]


def play(planner: Planner, judge: Judge, *, n_workers: int = 1, seed: int = 0) -> list[TrialRecord]:
    """Simulate a stage to its end and return its trials; a trial without a loss diverges.

    Args:
        planner: of the stage.
        judge: the loss of a configuration; less is better.
        n_workers: trials in training at once; which of them ends next is random.
        seed: of that random order.
    """
    chance = random.Random(seed)
    history: list[TrialRecord] = []
    running: list[int] = []
    is_over = False
    while not is_over or running:
        if not is_over and len(running) < n_workers:
            proposals = planner.suggest(len(history), n_workers - len(running), history)
            is_over = proposals.exhausted
            running += range(len(history), len(history) + len(proposals.trials))
            history += [
                TrialRecord(number=t.number, stage=t.stage, state=TrialState.RUNNING, params=t.params)
                for t in proposals.trials
            ]
            assert running or is_over, "nothing runs, and nothing may begin"
        if running:
            ended = running.pop(chance.randrange(len(running)))
            history[ended] = _ended(history[ended], judge)
    return history


def _ended(record: TrialRecord, judge: Judge) -> TrialRecord:
    score = judge(record.params)
    state = TrialState.DIVERGED if score is None else TrialState.COMPLETED
    return record.model_copy(update={"state": state, "score": score})
