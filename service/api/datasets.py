"""Data sets: register by path, by bundled name, by upload; download the canonical file."""

from __future__ import annotations

import shutil
from typing import Annotated

from fastapi import APIRouter, Form, UploadFile, status
from fastapi.responses import FileResponse

from foldstep.service.api.deps import InContext
from foldstep.service.api.problems import responses
from foldstep.service.contract.dataset import Dataset
from foldstep.service.contract.submit import DatasetRegistration
from foldstep.service.flow import dataset, transfer

router = APIRouter(tags=["data sets"])


@router.post("/datasets", status_code=status.HTTP_201_CREATED, responses=responses(403, 409, 422))
def post_dataset(registration: DatasetRegistration, context: InContext) -> Dataset:
    """Register a file that the master may read, or one of scikit-learn's sets."""
    return dataset.register(context, registration)


@router.post("/datasets:upload", status_code=status.HTTP_201_CREATED, responses=responses(409, 413, 422))
def upload_dataset(name: Annotated[str, Form()], file: UploadFile, context: InContext) -> Dataset:
    """Upload a CSV or Parquet file and register it."""
    file_name = file.filename or "upload.csv"
    path = dataset.new_upload(context, file_name)
    try:
        with path.open("xb") as copy:
            shutil.copyfileobj(file.file, copy)
        return dataset.register_upload(context, name, file_name, path)
    finally:
        path.unlink(missing_ok=True)


@router.get("/datasets", responses=responses())
def get_datasets(context: InContext) -> list[Dataset]:
    """List every data set, by name."""
    return dataset.all_datasets(context)


@router.get("/datasets/{name}", responses=responses(404))
def get_dataset(name: str, context: InContext) -> Dataset:
    """Get one data set."""
    return dataset.get(context, name)


@router.get("/datasets/{fingerprint}/file", response_class=FileResponse, responses=responses(404))
def get_data_file(fingerprint: str, context: InContext) -> FileResponse:
    """Download the canonical Parquet file of a data set, as workers do."""
    return FileResponse(transfer.data_path(context, fingerprint), media_type="application/vnd.apache.parquet")
