"""Trials: the leaderboard, single trials, learning curves; configurations of the user's own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response, status

from foldstep.service.api.deps import InContext, SearchId
from foldstep.service.api.problems import responses
from foldstep.service.api.strict import StrictRoute
from foldstep.service.contract.leaderboard import Leaderboard, OrderBy, TrialCurves, TrialDiagnostics, TrialView
from foldstep.service.contract.lease import Work
from foldstep.service.contract.submit import Enqueue, EnqueueReply
from foldstep.service.flow import diagnostics, rank
from foldstep.service.flow.enqueue import enqueue
from foldstep.service.flow.work import work

router = APIRouter(prefix="/searches/{search_id}", tags=["trials"], route_class=StrictRoute)
Number = Annotated[int, Path(ge=0, le=2**31 - 1, description="the trial's number")]


@router.get("/leaderboard", response_model=Leaderboard, responses=responses(404, 409, 422))
def get_leaderboard(
    search_id: SearchId,
    context: InContext,
    limit: Annotated[int, Query(ge=1, le=rank.MAX_LIMIT, description="rows of a page")] = 50,
    cursor: Annotated[str | None, Query(description="from the page before")] = None,
    order_by: OrderBy = "score",
) -> Response:
    """List the ranking, the best trial first; undefined, diverged and failed trials last."""
    page = rank.leaderboard(context, search_id, limit=limit, cursor=cursor, order_by=order_by)
    return Response(page.model_dump_json(), media_type="application/json")  # FastAPI would check each row once more


@router.post("/trials", status_code=status.HTTP_202_ACCEPTED, responses=responses(404, 409, 422))
def post_trials(search_id: SearchId, sent: Enqueue, context: InContext) -> EnqueueReply:
    """Enqueue configurations, which are tried next; they count in the budget. Sent twice they are trained once."""
    return enqueue(context, search_id, sent)


@router.get("/trials/{number}", responses=responses(404, 409, 422))
def get_trial(search_id: SearchId, number: Number, context: InContext) -> TrialView:
    """Get one trial."""
    return rank.trial(context, search_id, number)


@router.get("/work/{number}", responses=responses(404, 409, 422))
def get_work(search_id: SearchId, number: Number, context: InContext) -> Work:
    """Get what it takes to train one trial again: the search's problem, and the trial as it would be leased."""
    return work(context, search_id, number)


@router.get("/trials/{number}/curves", responses=responses(404, 409, 422))
def get_curves(search_id: SearchId, number: Number, context: InContext) -> TrialCurves:
    """Get the learning curves of one trial, by fold."""
    return rank.curves(context, search_id, number)


@router.get("/trials/{number}/diagnostics", responses=responses(404, 409, 422))
def get_diagnostics(search_id: SearchId, number: Number, context: InContext) -> TrialDiagnostics:
    """Get the training diagnostics of one trial, by fold, and what follows from them in words."""
    return diagnostics.diagnostics(context, search_id, number)
