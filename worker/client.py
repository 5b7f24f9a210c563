"""The requests of a worker to the master, one method for each."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self

import httpx
from pydantic import TypeAdapter

from foldstep.service.contract.archive import pack
from foldstep.service.contract.connection import Connection
from foldstep.service.contract.lease import Lease, LeaseRequest, WorkerRegistered, WorkerRegistration
from foldstep.service.contract.report import LeaseEnd, Report, ReportReply

ARCHIVE_BYTES = 8 << 20
"""Checkpoints in one request, in bytes; a greater file travels alone."""
_LEASE: TypeAdapter[Lease] = TypeAdapter(Lease)


class Fenced(Protocol):
    """What a request under a lease needs of it."""

    @property
    def lease(self) -> int:
        """The lease's number."""

    @property
    def token(self) -> str:
        """Its fencing token."""


class LeaseKey(NamedTuple):
    """The number and the token of a lease."""

    lease: int
    token: str


class MasterClient:
    """The worker's side of the API."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._patience_s: float | None = None

    @property
    def patience_s(self) -> float:
        """How long requests are retried while the master does not answer, in seconds."""
        return self._connection.patience_s if self._patience_s is None else self._patience_s

    def impatient(self) -> Self:
        """Make a client of the same connection that tries each request once."""
        other = copy(self)
        other._patience_s = 0.0
        return other

    def register(self, registration: WorkerRegistration) -> WorkerRegistered:
        """Register this worker."""
        answer = self._request("POST", "/workers", json=registration.model_dump(mode="json"))
        return WorkerRegistered.model_validate_json(answer.content)

    def lease(self, request: LeaseRequest) -> Lease | None:
        """Ask for trials; None if no work is waiting."""
        answer = self._request("POST", "/leases", json=request.model_dump(mode="json"))
        return None if answer.status_code == 204 else _LEASE.validate_json(answer.content)

    def report(self, lease: Fenced, report: Report) -> ReportReply:
        """Send progress and results, and renew the lease.

        Raises:
            LeaseLost: the worker no longer holds the lease.
        """
        sent = report.model_dump(mode="json")
        answer = self._request("POST", f"/leases/{lease.lease}:report", json=sent, headers=_fenced(lease))
        return ReportReply.model_validate_json(answer.content)

    def release(self, lease: Fenced, snapshots: Mapping[int, str] = MappingProxyType({})) -> None:
        """End a lease; unfinished trials return to waiting, with the snapshots to resume from."""
        end = LeaseEnd(snapshots=dict(snapshots)).model_dump(mode="json")
        self._request("POST", f"/leases/{lease.lease}:release", json=end, headers=_fenced(lease))

    def put_checkpoints(self, lease: Fenced, files: Mapping[str, bytes]) -> None:
        """Upload checkpoints (name to content), in as few requests as their size allows."""
        archive: dict[str, bytes] = {}
        for name, content in files.items():
            if archive and sum(map(len, archive.values())) + len(content) > ARCHIVE_BYTES:
                self._put(lease, f"/leases/{lease.lease}/checkpoints", pack(archive))
                archive = {}
            archive[name] = content
        if archive:
            self._put(lease, f"/leases/{lease.lease}/checkpoints", pack(archive))

    def put_snapshot(self, lease: Fenced, name: str, content: bytes) -> None:
        """Upload a snapshot."""
        self._put(lease, f"/leases/{lease.lease}/snapshots/{name}", content)

    def get_snapshot(self, lease: Fenced, name: str) -> bytes:
        """Download the snapshot from which a leased trial resumes."""
        path = f"/leases/{lease.lease}/snapshots/{name}"
        return self._request("GET", path, headers=_fenced(lease)).content

    def fetch_dataset(self, fingerprint: str, into: Path) -> Path:
        """Find the canonical data file in the worker's own folder, and download it if it is missing."""
        path = into / f"{fingerprint}.parquet"
        if not path.exists():
            content = self._request("GET", f"/datasets/{fingerprint}/file").content
            into.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
            draft.write_bytes(content)
            draft.replace(path)
        return path

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        return self._connection.request(method, path, patience_s=self._patience_s, **arguments)

    def _put(self, lease: Fenced, path: str, content: bytes) -> None:
        headers = {**_fenced(lease), "Content-Type": "application/octet-stream"}
        self._request("PUT", path, content=content, headers=headers)


def _fenced(lease: Fenced) -> dict[str, str]:
    """Make the header that every request under a lease carries."""
    return {"X-Lease-Token": lease.token}
