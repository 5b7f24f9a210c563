"""Endpoints for operators: liveness, readiness and metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from foldstep.service.api.deps import InContext
from foldstep.service.api.problems import MEDIA_TYPE, REASON, responses
from foldstep.service.flow.metrics import metrics_text
from foldstep.service.flow.ready import check_ready

open_router = APIRouter(tags=["operations"])
metrics_router = APIRouter(tags=["operations"])


@open_router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Tell that the process answers; no thread of the pool is asked for it, for all may be at work."""
    return {"status": "ok"}


@open_router.get("/readyz", responses={503: {"description": REASON[503], "content": {MEDIA_TYPE: {}}}})
async def readyz(context: InContext) -> dict[str, str]:
    """Write to the data folder and to the database; 503 within two seconds where one of them cannot be written to."""
    await check_ready(context)
    return {"status": "ready"}


@metrics_router.get("/metrics", response_class=PlainTextResponse, responses=responses())
async def metrics(context: InContext) -> Response:
    """Report what the master measures in Prometheus' text form."""
    return Response(await metrics_text(context), headers={"Content-Type": CONTENT_TYPE_LATEST})
