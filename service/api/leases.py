"""Leases: a worker takes trials, reports on them, ends the lease, and transfers files."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response, status
from fastapi.responses import FileResponse

from foldstep.service.api.bodies import JsonBody
from foldstep.service.api.deps import Body, IfHeld, InContext, LeaseToken
from foldstep.service.api.direct import Direct
from foldstep.service.api.examples import ARCHIVE_BODY, FILE_BODY
from foldstep.service.api.problems import responses
from foldstep.service.api.strict import StrictRoute
from foldstep.service.contract.archive import unpack
from foldstep.service.contract.lease import Lease, LeaseRequest
from foldstep.service.contract.report import LeaseEnd, Report, ReportReply
from foldstep.service.flow import transfer
from foldstep.service.flow.files import STATE_NAME
from foldstep.service.flow.lease import lease
from foldstep.service.flow.release import release
from foldstep.service.flow.report import is_progress, report

router = APIRouter(prefix="/leases", tags=["leases"], route_class=StrictRoute)
LeaseId = Annotated[int, Path(ge=0, le=2**31 - 1, description="the lease's number")]
SnapshotName = Annotated[
    str, Path(json_schema_extra={"pattern": f"^{STATE_NAME.pattern}$"}, description="the snapshot's name")
]
_NO_CONTENT = status.HTTP_204_NO_CONTENT
_report_body = JsonBody(Report)
DIRECT = (
    Direct("/leases", LeaseRequest, lambda call: lease(call.context, call.sent)),
    Direct("/leases/{lease_id}:report", Report, lambda call: report(call.context, call.lease, call.token, call.sent),
           is_short=is_progress),
    Direct("/leases/{lease_id}:release", LeaseEnd,
           lambda call: release(call.context, call.lease, call.token, call.sent)),
)  # fmt: skip
"""The calls that are answered without their routes, unless something is wrong with them."""


@router.post(
    "",
    response_model=Lease,
    responses={**responses(404, 422), _NO_CONTENT: {"description": "nothing waits; ask again in a moment"}},
)
def post_lease(request: LeaseRequest, context: InContext) -> Lease | Response:
    """Lease trials of one search to a worker."""
    return lease(context, request) or Response(status_code=_NO_CONTENT)


@router.post("/{lease_id}:report", openapi_extra=_report_body.documentation, responses=responses(409, 422))
def post_report(
    lease_id: LeaseId, token: LeaseToken, sent: Annotated[Report, Depends(_report_body)], context: InContext
) -> ReportReply:
    """Renew the lease, and store progress and results; the same report again changes nothing."""
    return report(context, lease_id, token, sent)


@router.post("/{lease_id}:release", status_code=_NO_CONTENT, responses=responses(409, 422))
def post_release(lease_id: LeaseId, token: LeaseToken, sent: LeaseEnd, context: InContext) -> None:
    """End a lease; unfinished trials go back to waiting, with the snapshots that were uploaded for them."""
    release(context, lease_id, token, sent)


@router.put(
    "/{lease_id}/checkpoints",
    status_code=_NO_CONTENT,
    openapi_extra=ARCHIVE_BODY,
    responses=responses(409, 413, 422),
)
def put_checkpoints(lease_id: LeaseId, token: LeaseToken, _held: IfHeld, body: Body, context: InContext) -> None:
    """Upload folds' checkpoints as one tar archive, before the results that name them."""
    transfer.put_checkpoints(context, lease_id, token, unpack(body))


@router.put(
    "/{lease_id}/snapshots/{name}", status_code=_NO_CONTENT, openapi_extra=FILE_BODY, responses=responses(409, 413, 422)
)
def put_snapshot(
    lease_id: LeaseId, name: SnapshotName, token: LeaseToken, _held: IfHeld, body: Body, context: InContext
) -> None:
    """Upload the snapshot of a trial, before the report or release that names it."""
    transfer.put_snapshot(context, lease_id, token, name, body)


@router.get("/{lease_id}/snapshots/{name}", response_class=FileResponse, responses=responses(404, 409, 422))
def get_snapshot(lease_id: LeaseId, name: SnapshotName, token: LeaseToken, context: InContext) -> FileResponse:
    """Download the snapshot that `resume` of a leased trial names."""
    return FileResponse(transfer.snapshot_path(context, lease_id, token, name), media_type="application/octet-stream")
