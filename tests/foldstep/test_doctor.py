"""`doctor` on installations that run, that are stopped, and that have something wrong with them."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from foldstep.service.db.engine import Database
from tests.acceptance.processes import Processes, foldstep, terminate

Findings = dict[str, tuple[str, str, str]]


def findings(cwd: Path, **environment: str) -> tuple[int, Findings]:
    """The exit code, and the last finding of each check: its level, words and way out."""
    done = foldstep("doctor", "--dir", "data", "--json", cwd=cwd, **environment)
    assert "Traceback" not in done.stderr
    return done.returncode, {f["check"]: (f["level"], f["said"], f["way_out"]) for f in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a master that has ended."""
    folder = tmp_path_factory.mktemp("doctor")
    with Processes(folder) as processes:
        process, _ = processes.master()
        _, found = findings(folder)
        levels = {name: found[name][0] for name in ("folder", "modes", "disk", "database", "version", "files", "clock")}
        assert levels == dict.fromkeys(levels, "ok"), found
        terminate(process)
    return folder


def test_a_stopped_installation_is_well(stopped: Path) -> None:
    code, found = findings(stopped)
    assert (code, found["master"][0]) == (0, "look")
    assert found["database"][:2] == ("ok", "it is whole")


def test_files_that_are_missing_and_that_belong_to_nobody(stopped: Path) -> None:
    lost = stopped / "data" / "checkpoints" / "lost-123456"
    lost.mkdir(parents=True)
    (lost / "x.safetensors").write_bytes(bytes(2000))
    try:
        code, found = findings(stopped)
        assert code == 0
        assert found["files"][0] == "look"
        assert "1 files of 2.0 kB belong to no search, as checkpoints/lost-123456/x.safetensors" in found["files"][1]
        assert "foldstep recover" in found["files"][2]
    finally:
        (lost / "x.safetensors").unlink()
        lost.rmdir()
    _sql(
        stopped,
        "INSERT INTO datasets (name, fingerprint, description, created_at) VALUES ('d', 'f', '{}', '2030-01-01')",
    )
    try:
        code, found = findings(stopped)
        assert (code, found["files"][0]) == (1, "bad")
        assert "datasets/f.parquet" in found["files"][1]
    finally:
        _sql(stopped, "DELETE FROM datasets")


@pytest.mark.parametrize(("revision", "level", "way_out"), [("0011", "look", "upgrade"), ("9999", "bad", "install")])
def test_a_database_of_another_version(stopped: Path, revision: str, level: str, way_out: str) -> None:
    (before,) = _sql(stopped, "SELECT version_num FROM alembic_version")
    _sql(stopped, f"UPDATE alembic_version SET version_num = '{revision}'")
    try:
        _, found = findings(stopped)
        assert found["version"][0] == level
        assert way_out in found["version"][2]
    finally:
        _sql(stopped, f"UPDATE alembic_version SET version_num = '{before}'")


def test_a_token_that_others_can_read(stopped: Path) -> None:
    token = stopped / "data" / "token"
    token.chmod(0o644)
    try:
        code, found = findings(stopped)
        assert (code, found["modes"][0]) == (1, "bad")
        assert "chmod 600" in found["modes"][2]
    finally:
        token.chmod(0o600)


def test_a_damaged_database(stopped: Path) -> None:
    path = stopped / "data" / "foldstep.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
    try:
        code, found = findings(stopped)
        assert (code, found["database"][0]) == (1, "bad")
        assert "damaged" in found["database"][1]
    finally:
        path.write_bytes(whole)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    done = foldstep("doctor", "--dir", "none", cwd=tmp_path)
    assert done.returncode == 1
    assert "there is no folder none → name the master's folder with --dir" in done.stdout


def _sql(folder: Path, statement: str) -> list[str]:
    with closing(Database(f"sqlite:///{folder}/data/foldstep.db")) as database, database.write() as connection:
        done = connection.execute(text(statement))
        return [str(row[0]) for row in done] if done.returns_rows else []
