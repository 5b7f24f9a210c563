"""Endpoints for operators: liveness, readiness and metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from foldstep.service.api.deps import InContext
from foldstep.service.flow.metrics import metrics_text

open_router = APIRouter(tags=["operations"])
metrics_router = APIRouter(tags=["operations"])


@open_router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Tell that the process answers; no thread of the pool is asked for it, for all may be at work."""
    return {"status": "ok"}


@open_router.get("/readyz")
def readyz(context: InContext) -> dict[str, str]:
    """Check that the database answers; 503 when it does not."""
    context.database.ping()
    return {"status": "ready"}


@metrics_router.get("/metrics", response_class=PlainTextResponse)
def metrics(context: InContext) -> Response:
    """Report what the master measures in Prometheus' text form."""
    return Response(metrics_text(context), headers={"Content-Type": CONTENT_TYPE_LATEST})
