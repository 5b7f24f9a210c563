"""Use case: store a search anew from what its checkpoints tell: its problem, its trials, their results.

Its trials are leased and reported as any others, so that they are ranked by the same rules. What checkpoints do not
tell are the space, the budget and the trials without a checkpoint.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foldstep.service.contract.errors import SpecInvalid
from foldstep.service.contract.lease import LeaseRequest, WorkerRegistration
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.report import LeaseEnd, Report, TrialResult
from foldstep.service.contract.space import Params
from foldstep.service.contract.spec import Spec
from foldstep.service.contract.states import SearchEvent, SearchState
from foldstep.service.contract.trial import PlannedTrial
from foldstep.service.contract.version import __version__
from foldstep.service.db import searches, stages
from foldstep.service.db.searches import SearchRow
from foldstep.service.flow import files
from foldstep.service.flow.context import Context
from foldstep.service.flow.lease import lease
from foldstep.service.flow.plan import add_stage, store
from foldstep.service.flow.register import register_worker
from foldstep.service.flow.release import release
from foldstep.service.flow.report import report
from foldstep.service.planner.base import Proposals
from foldstep.service.planner.stages import first_stage

_AT_ONCE = 100
NOTE = "Rebuilt from its checkpoints: its space, its budget and its trials without a checkpoint are not known."


@dataclass(frozen=True)
class Remains:
    """What the checkpoints of a search tell.

    Attributes:
        trials: hyperparameters and result of each, by number.
        files: the checkpoints, by name.
    """

    id: str
    problem: LearningProblem
    trials: dict[int, tuple[Params, TrialResult]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


def rebuild(context: Context, remains: Remains) -> None:
    """Store a search, its trials and its checkpoints, in an installation in which no other search is open."""
    spec = _spec(remains)
    _copy(files.checkpoint_folder(context.settings, remains.id), remains.files)
    _store(context, remains, spec)
    registration = WorkerRegistration(name="recover", device="cpu", version=__version__)
    worker = register_worker(context, registration).worker
    while held := lease(context, LeaseRequest(worker=worker, members=_AT_ONCE * remains.problem.n_folds)):
        results = [_of_files(remains, remains.trials[trial.number][1]) for trial in held.trials]
        report(context, held.lease, held.token, Report(results=results))
        release(context, held.lease, held.token, LeaseEnd())
    with context.database.write() as connection:
        search = searches.lock(connection, remains.id)
        if search.state is SearchState.RUNNING:  # none of its trials has a score
            searches.move(connection, remains.id, SearchEvent.STOP, finished_at=context.now())
        searches.add_notes(connection, search, [NOTE])


def _copy(folder: Path, found: Mapping[str, Path]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in found.items():
        shutil.copyfile(path, folder / name)


def _store(context: Context, remains: Remains, spec: Spec) -> None:
    plan, now = first_stage(spec), context.now()
    row = SearchRow(
        id=remains.id,
        name=spec.name,
        state=SearchState.QUEUED,
        spec=remains.problem.resolved(spec),
        problem=remains.problem,
        notes=[],
        failure=None,
        stage=0,
        n_stages=1,
        created_at=now,
        started_at=None,
        paused_at=None,
        deadline_at=None,
        finished_at=None,
    )
    planned = [PlannedTrial(number=n, stage=0, params=params) for n, (params, _) in sorted(remains.trials.items())]
    with context.database.write() as connection:
        searches.add(connection, row, _raw(remains, {}))
        add_stage(connection, row.id, plan, now)
        stage = stages.get(connection, row.id, 0)
        store(connection, row, stage, Proposals(planned, exhausted=True), now)


def _of_files(remains: Remains, result: TrialResult) -> TrialResult:
    """Let a result name the checkpoints that are there."""
    by_fold = {
        parsed.fold: name for name in remains.files if (parsed := files.parse_checkpoint(name)).trial == result.trial
    }
    folds = [fold.model_copy(update={"checkpoint": by_fold.get(fold.fold)}) for fold in result.folds]
    return result.model_copy(update={"folds": folds})


def _spec(remains: Remains) -> Spec:
    """Write a spec whose space holds the trials' values; one of the learning rates alone where others do not fit."""
    try:
        return parse_spec(_raw(remains, _choices(params for params, _ in remains.trials.values())))
    except SpecInvalid:
        return parse_spec(_raw(remains, {}))


def _raw(remains: Remains, parameters: Mapping[str, Any]) -> dict[str, Any]:
    problem = remains.problem.model_dump(mode="json")
    return {
        "name": remains.id.rpartition("-")[0] or remains.id,
        "method": "random",
        "seed": remains.problem.seed,
        "data": {"dataset": problem["data"]["dataset"], "target": problem["target"], "task": problem["task"]},
        "cv": problem["cv"],
        "metric": problem["metric"],
        "parameters": parameters,
        "budget": {"trials": len(remains.trials)},
        "checkpoints": {"keep": "all"},
    }


def _choices(found: Iterable[Params]) -> dict[str, Any]:
    values: dict[str, list[Any]] = {}
    for params in found:
        for name, value in params.items():
            if name != "seed" and value not in values.setdefault(name, []):
                values[name].append(value)
    return {name: those if len(those) > 1 else those[0] for name, those in values.items()}
