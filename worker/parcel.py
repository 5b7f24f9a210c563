"""A parcel: one report to the master, and the files that go up before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from foldstep.models.checkpoint import CheckpointDamaged, decode, encode
from foldstep.service.contract.lease import LeaseRequest
from foldstep.service.contract.report import Report

_KIND = "parcel"
_CHECKPOINT, _SNAPSHOT = "checkpoint ", "snapshot "


@dataclass(frozen=True)
class Parcel:
    """One report and its files.

    Attributes:
        report: progress and results; its `snapshots` stay empty, they follow from the files that the master took.
        checkpoints: content by file name, of results in the report.
        snapshots: content by trial.
        is_last: whether the report ends the lease; the snapshots are then those that unfinished trials resume from.
        following: the request for the next lease, sent with the last report; None for no further lease.
    """

    report: Report
    checkpoints: Mapping[str, bytes] = field(default_factory=dict)
    snapshots: Mapping[int, bytes] = field(default_factory=dict)
    is_last: bool = False
    following: LeaseRequest | None = None

    @property
    def is_worth_keeping(self) -> bool:
        """Whether it holds more than a sign of life."""
        return bool(self.report.results or self.snapshots or self.report.checks or self.is_last)


def encode_parcel(parcel: Parcel) -> bytes:
    """Encode a parcel as a file; the request for the next lease is left out, for its worker may be gone by then."""
    files = {f"{_CHECKPOINT}{name}": content for name, content in parcel.checkpoints.items()}
    files |= {f"{_SNAPSHOT}{trial}": content for trial, content in parcel.snapshots.items()}
    arrays = {name: np.frombuffer(content, dtype=np.uint8) for name, content in files.items()}
    return encode(arrays, {"kind": _KIND, "report": parcel.report.model_dump_json(), "is_last": parcel.is_last})


def decode_parcel(content: bytes) -> Parcel:
    """Decode what `encode_parcel` wrote.

    Raises:
        CheckpointDamaged: it is not whole, or no parcel.
    """
    arrays, facts = decode(content)
    if facts.get("kind") != _KIND:
        raise CheckpointDamaged("it is no parcel for the master")
    files = {name: array.tobytes() for name, array in arrays.items()}
    return Parcel(
        report=Report.model_validate_json(facts["report"]),
        checkpoints=_beginning_with(_CHECKPOINT, files),
        snapshots={int(trial): content for trial, content in _beginning_with(_SNAPSHOT, files).items()},
        is_last=bool(facts["is_last"]),
    )


def _beginning_with(prefix: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name.removeprefix(prefix): content for name, content in files.items() if name.startswith(prefix)}


def snapshot_name(trial: int) -> str:
    """Build the file name of a trial's snapshot."""
    return f"trial-{trial:06d}.safetensors"
