"""What a worker gets with a lease: the trials to train, or the candidates to check."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from foldstep.service.contract.final import ENSEMBLE
from foldstep.service.contract.lease import Lease, LeasedTrial
from foldstep.service.contract.stage import StagePlan
from foldstep.service.db import continued
from foldstep.service.db.searches import SearchRow
from foldstep.service.db.stages import StageRow
from foldstep.service.db.trials import ClaimedTrial
from foldstep.service.flow.prune import last_kept, last_with_snapshot
from foldstep.service.flow.rungs import next_rung
from foldstep.service.planner.candidates import candidates
from foldstep.service.planner.stages import n_continued


class Grant(NamedTuple):
    """A lease that was granted, and its secret token."""

    lease: int
    token: str
    expires_at: datetime


def new_token(key: str | None) -> str:
    """Make the secret token of a lease; the same for the same key of a request, as the database has only its hash."""
    return secrets.token_urlsafe(24) if key is None else hashlib.sha256(f"foldstep lease {key}".encode()).hexdigest()


def training(
    connection: Connection,
    search: SearchRow,
    stage: StageRow,
    claimed: Sequence[ClaimedTrial],
    grant: Grant,
    now: datetime,
) -> Lease:
    """Build the lease of trials that were claimed in a search's present stage."""
    last, with_snapshot = last_kept(connection, search), last_with_snapshot(connection, search)
    plan = StagePlan.model_validate(stage.plan) if search.spec.early_stop else None
    continues = {t.number: t.continues for t in claimed if t.continues is not None}
    legs = continued.legs(connection, search.id, continues) if continues else {}
    return Lease(
        **grant._asdict(),
        search=search.id,
        problem=search.problem,
        trials=[_leased(search, plan, trial, legs.get(trial.number, [])) for trial in claimed],
        keep_checkpoints=search.spec.checkpoints.limit,
        keep_predictions=search.spec.checkpoints.predictions,
        checkpoint_bar=last.score if last else None,
        snapshot_bar=with_snapshot.score if with_snapshot else None,
        trial_time_s=search.spec.budget.trial_time,
        time_left_s=search.time_left_s(now),
    )


def checking(search: SearchRow, grant: Grant) -> Lease:
    """Build the lease to check a search."""
    return Lease(
        **grant._asdict(),
        search=search.id,
        problem=search.problem,
        purpose="check",
        candidates=candidates(search.spec),
    )


def _leased(search: SearchRow, plan: StagePlan | None, trial: ClaimedTrial, legs: list[int]) -> LeasedTrial:
    rung = None if plan is None else next_rung(search, plan, trial)
    return LeasedTrial(
        number=trial.number,
        params=trial.params,
        attempt=trial.attempts,
        resume=trial.resume,
        until=rung.epoch if rung else None,
        folds=rung.folds if rung else None,
        legs=legs,
        keep_snapshot=n_continued(search.spec, search.stage) > 0,
        own_epochs=search.purpose == ENSEMBLE,
    )
