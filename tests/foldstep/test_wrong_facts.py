"""Checkpoints whose checksum is right and whose facts are not: refused in words everywhere, one never ends a folder."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from foldstep.committee import Committee
from foldstep.ensemble import Ensemble
from foldstep.models.catalog.metrics import Direction
from foldstep.models.catalog.preparation import Preparation
from foldstep.models.checkpoint import CheckpointDamaged, decode, encode
from foldstep.models.weights import Weights
from foldstep.prediction import predict_file
from foldstep.recovery import recover_leaderboards
from foldstep.service.contract.errors import InvalidInput
from foldstep.service.contract.lease import Lease, LeasedTrial
from foldstep.service.contract.reading import AS_FOUND, ColumnReading, TableReading
from foldstep.service.contract.spec import CvSpec
from foldstep.worker.assignment import TrialWork
from foldstep.worker.checkpoints import checkpoint, decode_snapshot, encode_snapshot
from foldstep.worker.settings import PACK_BYTES_CPU
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.oversight import Unwatched
from tests.worker.train.data import problem, source

JUNK: list[Any] = [None, -1, 10**30, 1.5, "", "x" * 50, [], [[]], {}, {"a": 1}, True, [None, "a"]]


class _Keeper(Unwatched):
    def __init__(self, work: TrialWork) -> None:
        self.work = work

    def member_done(self, member: Member, weights: Weights | None) -> None:
        self.work.weights[member.fold] = weights


@pytest.fixture(scope="module")
def files() -> tuple[bytes, bytes, dict[str, Any]]:
    """Train a trial; a checkpoint of it, a snapshot, and its parameters."""
    folds = source("iris", folds=2)
    leased = LeasedTrial(number=4, params={"hidden": [8], "epochs": 2, "seed": 3}, keep_snapshot=True)
    work = TrialWork(leased, folds.n_folds, 7, Direction.MAXIMIZE, saved=None)
    Training(folds, "accuracy", Engine(torch.device("cpu"), PACK_BYTES_CPU)).train(work.members, _Keeper(work))
    finished = work.finished("0" * 64)
    columns = [ColumnReading(name=name, kind="number") for name in ("x0", "x1", "x2", "x3", "target")]
    reading = TableReading(missing=AS_FOUND.missing_words, columns=tuple(columns))
    about = problem("classification", CvSpec(folds=2)).model_copy(update={"reading": reading})
    expires_at = datetime(2030, 1, 1, tzinfo=UTC)
    lease = Lease(lease=1, token="t", expires_at=expires_at, search="s-1a2b3c", trials=[leased], problem=about)
    weights = finished.weights[0]
    assert weights is not None
    assert finished.snapshot is not None
    data = folds.fold(0, Preparation("standard"))
    _, content = checkpoint(lease, leased, finished.members[0], weights, data, finished.result)
    return content, encode_snapshot(finished.snapshot), leased.params


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each part of the facts, of long lists only of the first two."""
    if path:
        yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, part in parts:
        yield from _places(part, (*path, key))


def _changed(facts: dict[str, Any], path: tuple[Any, ...], junk: Any) -> dict[str, Any]:
    changed = copy.deepcopy(facts)
    holder: Any = changed
    for key in path[:-1]:
        holder = holder[key]
    if junk is KeyError:
        holder.pop(path[-1])
    else:
        holder[path[-1]] = junk
    return changed


def _variants(content: bytes) -> Iterator[bytes]:
    """Yield the file with one part of its facts taken out or replaced, its checksum right; with other arrays, too."""
    arrays, facts = decode(content)
    for path in _places(facts):
        for junk in (KeyError, *JUNK):
            yield encode(arrays, _changed(facts, path, junk))
    for name, array in arrays.items():
        yield encode({n: a for n, a in arrays.items() if n != name}, facts)
        for other in (array[:1], array[None], array.astype(np.int8), np.empty(0, np.float32), array.T[:-1]):
            yield encode({**arrays, name: other}, facts)
    yield encode({}, facts)


def _refusal(refused: type[Exception], function: Callable[..., object], *arguments: Any, **named: Any) -> str:
    """Call a function; what it refuses with, or nothing."""
    try:
        function(*arguments, **named)
    except refused as error:
        return str(error)
    return ""


def _predict(checkpoint: Path, table: Path) -> None:
    predict_file(Ensemble.load([Committee(1.0, [checkpoint])]), table, proba=True)


def test_no_fact_of_a_checkpoint_gives_a_raw_exception(files: tuple[bytes, bytes, Any], tmp_path: Path) -> None:
    path, table = tmp_path / "a.safetensors", tmp_path / "new.csv"
    _, facts = decode(files[0])
    names = [column["name"] for column in facts["context"]["reading"]["columns"]]
    table.write_text("\n".join([",".join(names), *[",".join("1" for _ in names)] * 2]))
    n_refused = n_read = 0
    for content in _variants(files[0]):
        path.write_bytes(content)
        said = _refusal(InvalidInput, _predict, path, table)
        n_refused, n_read = n_refused + bool(said), n_read + (not said)
        assert not said or (said.endswith(".") and len(said) < 2000), said
    assert n_refused > 300
    assert n_read > 100  # most of what a file says is not asked for


def test_no_file_ends_the_recovery_of_its_folder(files: tuple[bytes, bytes, Any], tmp_path: Path) -> None:
    (tmp_path / "aaa.safetensors").write_bytes(files[0])
    for i, content in enumerate(_variants(files[0])):
        (tmp_path / f"{i:06d}.safetensors").write_bytes(content)
    found, damaged = recover_leaderboards(tmp_path)
    assert "s-1a2b3c" in found
    assert len(damaged) > 100
    json.dumps(found, allow_nan=False).encode()
    assert str(tmp_path / "aaa.safetensors") not in damaged


def test_a_pipe_and_a_folder_with_the_name_of_a_checkpoint_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    found, damaged = recover_leaderboards(tmp_path)
    assert (found, len(damaged)) == ({}, 2)


def test_no_fact_of_a_snapshot_gives_a_raw_exception(files: tuple[bytes, bytes, Any]) -> None:
    content, params = files[1], files[2]
    assert decode_snapshot(content, params, "0" * 64).folds
    n_refused = 0
    for changed in _variants(content):
        said = _refusal(CheckpointDamaged, decode_snapshot, changed, params, "0" * 64)
        assert len(said) < 2000
        n_refused += bool(said)
    assert n_refused > 100


@pytest.mark.parametrize(
    "metadata",
    [{}, {"foldstep": "[" * 100_000}, {"foldstep": "1"}, {"foldstep": '{"facts":1,"format":"foldstep/1","sha256":2}'}],
)
def test_no_envelope_gives_a_raw_exception(metadata: dict[str, str]) -> None:

    with pytest.raises(CheckpointDamaged):
        decode(save({"a": np.zeros(2, np.float32)}, metadata=metadata))
