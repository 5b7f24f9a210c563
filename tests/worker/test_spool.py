"""A worker rides out a master that is away: what it has trained waits on disk, also beyond its own end."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from foldstep.client import Foldstep
from foldstep.models.checkpoint import CheckpointDamaged
from foldstep.service.contract.report import Report, TrialResult
from foldstep.worker.client import LeaseKey
from foldstep.worker.delivery import Outbox
from foldstep.worker.parcel import Parcel, decode_parcel, encode_parcel
from foldstep.worker.spool import Spool
from tests.acceptance.processes import Processes, results, until
from tests.worker.desk import SPEC, Desk, opened
from tests.worker.proxy import before


def kept_in(folder: Path) -> list[Path]:
    """List the files that are written to their end; drafts may vanish with their process."""
    return sorted(p for p in folder.rglob("parcel-*") if not p.name.endswith(".part"))


def has_ended(folder: Path) -> bool:
    """Whether the end of a lease is kept."""
    return any(decode_parcel(p.read_bytes()).is_last for p in kept_in(folder))


def trained_while_away(desk: Desk, folder: Path) -> str:
    """Let a worker train a whole lease without a master, and leave; the master is back then."""
    search = desk.direct.submit(SPEC).id
    desk.proxy.rule = lambda _method, path, _body: "cut" if "/leases/" in path else None
    leaving = desk.worker()
    until(lambda: has_ended(folder), "the kept end of a lease")
    leaving.set()
    until(lambda: not desk.is_working, "its end")
    desk.proxy.rule = lambda *_: None
    return search


def test_another_worker_delivers_what_one_has_left(desk: Desk, tmp_path: Path, expected: list[dict[str, Any]]) -> None:
    search = trained_while_away(desk, tmp_path)
    desk.proxy.seen.clear()
    desk.worker()
    desk.ends(search)
    assert results(desk.direct, search) == expected
    assert {t.attempts for t in desk.direct.all_trials(search)} == {1}, "nothing is trained again"
    until(lambda: not kept_in(tmp_path), "an empty spool")


def test_what_comes_too_late_changes_nothing(
    tmp_path: Path, expected: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path, lease_ttl_s=1.0, sweep_interval_s=0.1) as desk:
        search = trained_while_away(desk, tmp_path)
        elsewhere = desk.worker(cache_dir=tmp_path / "elsewhere")
        desk.ends(search)
        elsewhere.set()
        desk.worker()
        until(lambda: not kept_in(tmp_path), "an empty spool")
        assert "came too late, and is dropped" in caplog.text
        assert results(desk.direct, search) == expected
        assert len(desk.direct.all_trials(search)) == len(expected)


def test_a_damaged_file_is_dropped_with_a_word(desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained_while_away(desk, tmp_path)
    for path in kept_in(tmp_path):
        path.write_bytes(path.read_bytes()[:-1])
    desk.worker()
    until(lambda: not kept_in(tmp_path), "an empty spool")
    assert "is damaged and dropped" in caplog.text


def test_lost_answers_change_nothing(desk: Desk, expected: list[dict[str, Any]]) -> None:
    asked: list[str] = []

    def every_second(_method: str, path: str, _body: bytes) -> str | None:
        asked.append(path)
        return "lost" if len(asked) % 2 else None

    desk.proxy.rule = every_second
    search = desk.direct.submit(SPEC).id
    desk.worker()
    desk.ends(search)
    assert results(desk.direct, search) == expected
    assert {t.attempts for t in desk.direct.all_trials(search)} == {1}
    assert len(asked) > 4


def test_a_worker_that_is_killed_while_the_master_is_away_loses_nothing(processes: Processes) -> None:
    _, master = processes.master()
    with before(master.url) as proxy:
        beside = Foldstep(proxy.url, (processes.data_dir / "token").read_text().strip())
        first = processes.worker(beside, "first")
        search = master.submit(SPEC).id
        proxy.rule = lambda _method, path, _body: "cut" if "/leases/" in path else None
        until(lambda: bool(kept_in(processes.folder)), "a kept result")
        until(lambda: has_ended(processes.folder), "the kept end of a lease")
        first.kill()
        first.wait()
        proxy.rule = lambda *_: None
        processes.worker(beside, "second")
        assert master.wait(search, poll_s=0.05).state == "completed"
        beside.close()
    assert {t.attempts for t in master.all_trials(search)} == {1}, processes.logs()
    assert not kept_in(processes.folder)


def test_an_unforeseen_error_of_the_reporting_thread_ends_the_worker(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its process is started again then; it would train for nobody else."""

    def broken(*_: object) -> None:
        raise TypeError("unforeseen")

    monkeypatch.setattr(Outbox, "send", broken)
    desk.direct.submit({**SPEC, "parameters": {**SPEC["parameters"], "epochs": 1_000_000}})
    with caplog.at_level(logging.ERROR):
        desk.worker()
        until(lambda: not desk.is_working, "its end")
    assert "reporting failed: unforeseen" in caplog.text
    assert isinstance(desk.ended_with, TypeError)


# -- the folder of one lease ------------------------------------------------------------------------------------------

LEASE = LeaseKey(7, "token")


def result(trial: int) -> TrialResult:
    return TrialResult(trial=trial, outcome="failed", folds=[], duration_s=1.5, message="é")


def test_a_parcel_comes_out_as_it_went_in() -> None:
    parcel = Parcel(Report(results=[result(1)]), {"a b.safetensors": b"\0\1", "e": b""}, {3: b"xyz"}, is_last=True)
    assert decode_parcel(encode_parcel(parcel)) == parcel
    with pytest.raises(CheckpointDamaged):
        decode_parcel(encode_parcel(parcel)[:-1])


def test_only_the_last_snapshot_of_a_trial_is_kept_and_none_of_one_that_has_ended(tmp_path: Path) -> None:
    kept = Spool(tmp_path / "spool").of(LEASE)
    assert kept.is_empty
    for content in (b"old", b"new"):
        kept.put(Parcel(Report(), {}, {1: content, 2: content}))
    kept.put(Parcel(Report(results=[result(2)]), {"c": b"c"}))
    assert list(kept.parcels()) == [
        Parcel(Report(results=[result(2)]), {"c": b"c"}),
        Parcel(Report(), {}, {1: b"new"}),
    ]
    assert kept.is_empty
    kept.close()
    assert not list((tmp_path / "spool").iterdir())


def test_a_folder_belongs_to_one_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    kept = spool.of(LEASE)
    kept.put(Parcel(Report(results=[result(1)])))
    assert list(spool.abandoned()) == []
    kept.close()
    (found,) = [list(adopted.parcels()) for adopted in spool.abandoned()]
    assert found == [Parcel(Report(results=[result(1)]))]
    assert list(spool.abandoned()) == []
    secret = [p for p in (tmp_path / "spool").rglob("*") if p.stat().st_mode & 0o077]
    assert secret == [], "it holds the lease's token"


def test_a_disk_that_is_full_costs_no_result(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file, where a folder should be")
    kept = Spool(tmp_path / "spool").of(LEASE)
    sent = [Parcel(Report(results=[result(n)])) for n in range(2)]
    for parcel in sent:
        kept.put(parcel)
    assert not kept.is_empty
    assert list(kept.parcels()) == sent
    assert kept.is_empty
