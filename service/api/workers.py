"""Workers: register one, list them, tell that one is dead."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response, status

from foldstep.service.api.deps import InContext
from foldstep.service.api.pages import USUALLY, Cursor, Limit, rows_of
from foldstep.service.api.problems import responses
from foldstep.service.api.strict import StrictRoute
from foldstep.service.contract.death import KeyedDeath, WorkerDeath
from foldstep.service.contract.leaderboard import WorkerView
from foldstep.service.contract.lease import WorkerRegistered, WorkerRegistration
from foldstep.service.flow import view
from foldstep.service.flow.died import worker_died
from foldstep.service.flow.register import register_worker

router = APIRouter(tags=["workers"], route_class=StrictRoute)
WorkerId = Annotated[int, Path(ge=0, le=2**31 - 1, description="the worker's number")]


@router.post("/workers", status_code=status.HTTP_201_CREATED, responses=responses(409, 422))
def post_worker(registration: WorkerRegistration, context: InContext) -> WorkerRegistered:
    """Register a worker; its version must agree with the master's in major and minor."""
    return register_worker(context, registration)


@router.get("/workers", responses=responses(422))
def get_workers(
    context: InContext, request: Request, response: Response, limit: Limit = USUALLY, cursor: Cursor = None
) -> list[WorkerView]:
    """List the workers that were seen lately."""
    return rows_of(view.all_workers(context, limit, cursor), request, response)


@router.post("/workers:died", status_code=status.HTTP_204_NO_CONTENT, responses=responses(404, 422))
def post_death_by_key(death: KeyedDeath, context: InContext) -> None:
    """Tell that the worker of a key is dead: its trials wait again at once; the same again changes nothing."""
    worker_died(context, death.key, death)


@router.post("/workers/{worker}:died", status_code=status.HTTP_204_NO_CONTENT, responses=responses(404, 422))
def post_death(worker: WorkerId, death: WorkerDeath, context: InContext) -> None:
    """Tell that a worker is dead: its trials wait again at once; the same again changes nothing."""
    worker_died(context, worker, death)
