"""Workers: register one, list them."""

from __future__ import annotations

from fastapi import APIRouter, status

from foldstep.service.api.deps import InContext
from foldstep.service.api.problems import responses
from foldstep.service.contract.leaderboard import WorkerView
from foldstep.service.contract.lease import WorkerRegistered, WorkerRegistration
from foldstep.service.flow import view
from foldstep.service.flow.register import register_worker

router = APIRouter(tags=["workers"])


@router.post("/workers", status_code=status.HTTP_201_CREATED, responses=responses(409, 422))
def post_worker(registration: WorkerRegistration, context: InContext) -> WorkerRegistered:
    """Register a worker; its version must agree with the master's in major and minor."""
    return register_worker(context, registration)


@router.get("/workers", responses=responses())
def get_workers(context: InContext) -> list[WorkerView]:
    """List the workers that were seen lately."""
    return view.all_workers(context)
