"""Children that a master keeps for the next request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from foldstep.service import child
from foldstep.service.child import Limits
from foldstep.service.contract.errors import DatasetUnreadable
from foldstep.service.data.child import ingest_in_child

PACKAGE = "foldstep.service.data"


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(child.KEEP, "1")
    yield
    for one in child._kept.values():
        one.close()
    child._kept.clear()


def table(folder: Path) -> Path:
    path = folder / "table.csv"
    path.write_text("a,b\n" + "\n".join(f"{i},{i % 3}" for i in range(50)) + "\n")
    return path


def pids() -> set[int]:
    living = [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE]  # other tests' children
    return {p.pid for p in living if PACKAGE in p.cmdline()}


def test_one_process_answers_one_request_after_another(tmp_path: Path) -> None:
    first = ingest_in_child(table(tmp_path), into=tmp_path)
    (pid,) = pids()
    with pytest.raises(DatasetUnreadable, match=r"nowhere\.csv"):
        ingest_in_child(tmp_path / "nowhere.csv", into=tmp_path)
    assert ingest_in_child(table(tmp_path), into=tmp_path) == first
    assert pids() == {pid}


def test_one_that_was_killed_is_started_again(tmp_path: Path) -> None:
    ingest_in_child(table(tmp_path), into=tmp_path)
    (pid,) = pids()
    process = child._kept[PACKAGE]._process
    assert process is not None
    process.kill()
    process.wait()
    ingest_in_child(table(tmp_path), into=tmp_path)
    assert pid not in pids()


def test_each_request_has_limits_of_its_own(tmp_path: Path) -> None:
    ingest_in_child(table(tmp_path), into=tmp_path, limits=Limits(memory_bytes=4 << 30, cpu_s=100))
    (pid,) = pids()
    used = psutil.Process(pid).rlimit(psutil.RLIMIT_CPU)[0]
    ingest_in_child(table(tmp_path), into=tmp_path, limits=Limits(memory_bytes=8 << 30, cpu_s=1000))
    assert psutil.Process(pid).rlimit(psutil.RLIMIT_CPU)[0] - used >= 900
    assert psutil.Process(pid).rlimit(psutil.RLIMIT_AS)[0] > 8 << 30


def test_one_that_is_too_slow_ends_and_the_next_is_answered(tmp_path: Path) -> None:
    ingest_in_child(table(tmp_path), into=tmp_path)
    (pid,) = pids()
    with pytest.raises(DatasetUnreadable, match="read within 0 s"):
        ingest_in_child(table(tmp_path), into=tmp_path, timeout_s=0.0)
    assert pid not in pids()
    ingest_in_child(table(tmp_path), into=tmp_path)
