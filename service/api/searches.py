"""Searches: submit, show, pause, resume, extend, stop, delete, analyse."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response, status
from fastapi.responses import FileResponse

from foldstep.service.api.deps import Document, IdempotencyKey, InContext, SearchId, heavily
from foldstep.service.api.examples import SPEC_BODY
from foldstep.service.api.pages import USUALLY, Cursor, Limit, rows_of
from foldstep.service.api.problems import responses
from foldstep.service.api.strict import StrictRoute
from foldstep.service.contract.dataset import DataReport
from foldstep.service.contract.footprint import Footprint
from foldstep.service.contract.insight import Comparison, ImportanceReport
from foldstep.service.contract.leaderboard import BorderFinding, SearchView
from foldstep.service.contract.submit import Extension, Validated
from foldstep.service.flow import control, data_report, extend, insight, transfer, view
from foldstep.service.flow.submit import submit, validate

router = APIRouter(tags=["searches"], route_class=StrictRoute)


@router.post(
    "/searches",
    status_code=status.HTTP_202_ACCEPTED,
    response_model=SearchView,
    openapi_extra=SPEC_BODY,
    responses=responses(403, 409, 413, 422),
)
async def post_search(
    document: Document, context: InContext, request: Request, response: Response, key: IdempotencyKey = None
) -> SearchView:
    """Submit a search; every fault of its spec is named at once. Under the same key again it is the same search."""
    search = await heavily(submit, context, document, key)
    root = request.scope.get("root_path", "")
    response.headers["Location"] = f"{root}/api/v1/searches/{search.id}"
    return search


@router.post("/searches:validate", openapi_extra=SPEC_BODY, responses=responses(403, 413, 422))
async def validate_search(document: Document, context: InContext) -> Validated:
    """Check a spec against its data without submitting it."""
    return await heavily(validate, context, document)


@router.get("/searches", responses=responses(422))
def get_searches(
    context: InContext, request: Request, response: Response, limit: Limit = USUALLY, cursor: Cursor = None
) -> list[SearchView]:
    """List the last searches, the newest first."""
    return rows_of(view.all_searches(context, limit, cursor), request, response)


@router.get("/searches/{search_id}", responses=responses(404, 409))
def get_search(search_id: SearchId, context: InContext) -> SearchView:
    """Get one search."""
    return view.search(context, search_id)


@router.get("/searches/{search_id}/spec", responses=responses(404, 409))
def get_spec(search_id: SearchId, context: InContext) -> Any:
    """Get the spec as it was submitted."""
    return view.submitted_spec(context, search_id)


@router.get("/searches/{search_id}/data", responses=responses(404, 409))
def get_data_report(search_id: SearchId, context: InContext) -> DataReport:
    """Report on the data that a search trains on: every column, and what is odd."""
    return data_report.of_search(context, search_id)


@router.get("/searches/{search_id}/footprint", responses=responses(404, 409))
def get_footprint(search_id: SearchId, context: InContext) -> Footprint:
    """Count the trials, files and bytes that the deletion of a search would remove."""
    return control.footprint(context, search_id)


@router.delete("/searches/{search_id}", responses=responses(404, 409))
def delete_search(search_id: SearchId, context: InContext) -> Footprint:
    """Delete a search with its trials and files, and tell how many of them there were."""
    return control.delete(context, search_id)


@router.post("/searches/{search_id}:pause", responses=responses(404, 409))
def pause_search(search_id: SearchId, context: InContext) -> SearchView:
    """Pause a search: no new trials are leased; those in training run to their end."""
    control.pause(context, search_id)
    return view.search(context, search_id)


@router.post("/searches/{search_id}:resume", responses=responses(404, 409))
def resume_search(search_id: SearchId, context: InContext) -> SearchView:
    """Resume a paused search."""
    control.resume(context, search_id)
    return view.search(context, search_id)


@router.post("/searches/{search_id}:stop", responses=responses(404, 409))
def stop_search(search_id: SearchId, context: InContext) -> SearchView:
    """Stop a search; its results stay."""
    control.stop(context, search_id)
    return view.search(context, search_id)


@router.post("/searches/{search_id}:extend", responses=responses(404, 409, 422))
def extend_search(
    search_id: SearchId, extension: Extension, context: InContext, key: IdempotencyKey = None
) -> SearchView:
    """Give a search more trials or more time; a completed one resumes. The same key again changes nothing."""
    extend.extend(context, search_id, extension, key)
    return view.search(context, search_id)


@router.put("/searches/{search_id}", operation_id="replace_search", responses=responses(404, 409))
@router.patch("/searches/{search_id}", operation_id="change_search", responses=responses(404, 409))
def change_search(search_id: SearchId, context: InContext) -> SearchView:
    """Refuse any change: a search keeps its spec; the answer says what to do instead."""
    extend.refuse_change(context, search_id)


@router.get("/searches/{search_id}/borders", responses=responses(404, 409))
def get_borders(search_id: SearchId, context: InContext) -> list[BorderFinding]:
    """List best values at the edge of their ranges, by stage."""
    return view.borders(context, search_id)


@router.get("/searches/{search_id}/importance", responses=responses(404, 409, 503))
def get_importance(search_id: SearchId, context: InContext) -> ImportanceReport:
    """Estimate how much each hyperparameter matters, alone and with others, and what follows for each."""
    return insight.importance(context, search_id)


@router.get("/searches/{search_id}/compare", responses=responses(404, 409, 422))
def get_comparison(search_id: SearchId, by: str, context: InContext) -> Comparison:
    """Compare the choices of one hyperparameter, each with the other hyperparameters at their best."""
    return insight.compare(context, search_id, by)


@router.get("/searches/{search_id}/checkpoints/{name}", response_class=FileResponse, responses=responses(404, 409, 422))
def get_checkpoint(search_id: SearchId, name: str, context: InContext) -> FileResponse:
    """Download a checkpoint; the rows of the leaderboard name them."""
    path = transfer.checkpoint_path(context, search_id, name)
    return FileResponse(path, media_type="application/octet-stream", filename=name)
