"""The requests of a worker to the master, one method for each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pydantic import TypeAdapter

from foldstep.service.contract.archive import pack
from foldstep.service.contract.connection import Connection
from foldstep.service.contract.lease import Lease, LeaseRequest, WorkerRegistered, WorkerRegistration
from foldstep.service.contract.report import LeaseEnd, Report, ReportReply

ARCHIVE_BYTES = 8 << 20
"""Checkpoints in one request, in bytes; a greater file travels alone."""
_LEASE: TypeAdapter[Lease] = TypeAdapter(Lease)


class MasterClient:
    """The worker's side of the API."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def register(self, registration: WorkerRegistration) -> WorkerRegistered:
        """Register this worker."""
        answer = self._connection.request("POST", "/workers", json=registration.model_dump(mode="json"))
        return WorkerRegistered.model_validate_json(answer.content)

    def lease(self, request: LeaseRequest) -> Lease | None:
        """Ask for trials; None if no work is waiting."""
        answer = self._connection.request("POST", "/leases", json=request.model_dump(mode="json"))
        return None if answer.status_code == 204 else _LEASE.validate_json(answer.content)

    def report(self, lease: Lease, report: Report) -> ReportReply:
        """Send progress and results, and renew the lease.

        Raises:
            LeaseLost: the worker no longer holds the lease.
        """
        sent = report.model_dump(mode="json")
        answer = self._connection.request("POST", f"/leases/{lease.lease}:report", json=sent, headers=_fenced(lease))
        return ReportReply.model_validate_json(answer.content)

    def release(self, lease: Lease, snapshots: Mapping[int, str] = MappingProxyType({})) -> None:
        """End a lease; unfinished trials return to waiting, with the snapshots to resume from."""
        end = LeaseEnd(snapshots=dict(snapshots)).model_dump(mode="json")
        self._connection.request("POST", f"/leases/{lease.lease}:release", json=end, headers=_fenced(lease))

    def put_checkpoints(self, lease: Lease, files: Mapping[str, bytes]) -> None:
        """Upload checkpoints (name to content), in as few requests as their size allows."""
        archive: dict[str, bytes] = {}
        for name, content in files.items():
            if archive and sum(map(len, archive.values())) + len(content) > ARCHIVE_BYTES:
                self._put(lease, f"/leases/{lease.lease}/checkpoints", pack(archive))
                archive = {}
            archive[name] = content
        if archive:
            self._put(lease, f"/leases/{lease.lease}/checkpoints", pack(archive))

    def put_snapshot(self, lease: Lease, name: str, content: bytes) -> None:
        """Upload a snapshot."""
        self._put(lease, f"/leases/{lease.lease}/snapshots/{name}", content)

    def get_snapshot(self, lease: Lease, name: str) -> bytes:
        """Download the snapshot from which a leased trial resumes."""
        path = f"/leases/{lease.lease}/snapshots/{name}"
        return self._connection.request("GET", path, headers=_fenced(lease)).content

    def fetch_dataset(self, fingerprint: str, into: Path) -> Path:
        """Find the canonical data file in the worker's own folder, and download it if it is missing."""
        path = into / f"{fingerprint}.parquet"
        if not path.exists():
            content = self._connection.request("GET", f"/datasets/{fingerprint}/file").content
            into.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f"{path.name}.{id(self)}.part")
            draft.write_bytes(content)
            draft.replace(path)
        return path

    def _put(self, lease: Lease, path: str, content: bytes) -> None:
        headers = {**_fenced(lease), "Content-Type": "application/octet-stream"}
        self._connection.request("PUT", path, content=content, headers=headers)


def _fenced(lease: Lease) -> dict[str, str]:
    """Make the header that every request under a lease carries."""
    return {"X-Lease-Token": lease.token}
