"""Data sets: upload files; register, replace, delete; report; download the canonical file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response, UploadFile, status
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from foldstep.service.api.deps import InContext, heavily
from foldstep.service.api.pages import USUALLY, Cursor, Limit, rows_of
from foldstep.service.api.problems import responses
from foldstep.service.api.strict import StrictRoute
from foldstep.service.contract.dataset import DataReport, Dataset, Replaced, StoredFile
from foldstep.service.contract.submit import DatasetRegistration, DatasetSource
from foldstep.service.flow import data_report, dataset, originals, transfer
from foldstep.service.flow.context import Context

router = APIRouter(tags=["data sets"], route_class=StrictRoute)
_BLOCK_BYTES = 1 << 20
Targets = Annotated[list[str] | None, Query(alias="target", description="A column to predict; of several, each.")]


@router.get("/files/{sha256}", responses=responses(404))
def get_stored_file(sha256: str, context: InContext) -> StoredFile:
    """Tell whether a file was uploaded."""
    return originals.stored_file(context, sha256)


@router.put("/files/{sha256}", responses=responses(413, 422))
async def put_file(sha256: str, request: Request, context: InContext) -> StoredFile:
    """Upload a file, as the body; its SHA-256 must be the one that the address names."""
    with originals.draft(context) as draft:
        async for block in _blocks(request.stream()):
            await run_in_threadpool(draft.write, block)
        return await run_in_threadpool(draft.keep, sha256)


async def _blocks(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Join the pieces of a body to blocks that are worth a thread's work."""
    block = bytearray()
    async for piece in pieces:
        block += piece
        if len(block) >= _BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    yield bytes(block)


@router.post("/datasets", status_code=status.HTTP_201_CREATED, responses=responses(403, 409, 422))
async def post_dataset(registration: DatasetRegistration, context: InContext) -> Dataset:
    """Register an uploaded file, a file that the master may read, or one of scikit-learn's sets."""
    return await heavily(dataset.register, context, registration)


@router.post("/datasets:upload", status_code=status.HTTP_201_CREATED, responses=responses(409, 413, 422))
async def upload_dataset(name: Annotated[str, Form()], file: UploadFile, context: InContext) -> Dataset:
    """Upload a CSV or Parquet file and register it, in one call of a form."""
    return await heavily(_upload, name, file, context)


def _upload(name: str, file: UploadFile, context: Context) -> Dataset:
    with originals.draft(context) as draft:
        for block in iter(lambda: file.file.read(_BLOCK_BYTES), b""):
            draft.write(block)
        stored = draft.keep()
    registration = DatasetRegistration(name=name, source=file.filename or "upload.csv", file=stored.sha256)
    return dataset.register(context, registration)


@router.post("/datasets/{name}:replace", responses=responses(403, 404, 422))
async def replace_dataset(name: str, source: DatasetSource, context: InContext) -> Replaced:
    """Let a name stand for other data; searches that have begun keep theirs."""
    return await heavily(dataset.replace, context, name, source)


@router.delete("/datasets/{name}", status_code=status.HTTP_204_NO_CONTENT, responses=responses(404))
def delete_dataset(name: str, context: InContext) -> None:
    """Forget a data set; searches that have begun keep theirs."""
    dataset.delete(context, name)


@router.get("/datasets", responses=responses(422))
def get_datasets(
    context: InContext, request: Request, response: Response, limit: Limit = USUALLY, cursor: Cursor = None
) -> list[Dataset]:
    """List every data set, by name."""
    return rows_of(dataset.all_datasets(context, limit, cursor), request, response)


@router.get("/datasets/{name}", responses=responses(404))
def get_dataset(name: str, context: InContext) -> Dataset:
    """Get one data set."""
    return dataset.get(context, name)


@router.get("/datasets/{name}/report", responses=responses(404, 422))
async def get_data_report(name: str, context: InContext, targets: Targets = None) -> DataReport:
    """Report on the columns of a data set, and on one of them as the target, or on several."""
    return await heavily(data_report.report, context, name, targets or [])


@router.get("/datasets/{fingerprint}/file", response_class=FileResponse, responses=responses(404))
def get_data_file(fingerprint: str, context: InContext) -> FileResponse:
    """Download the canonical Parquet file of a data set, as workers do."""
    return FileResponse(transfer.data_path(context, fingerprint), media_type="application/vnd.apache.parquet")
