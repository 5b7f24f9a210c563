"""A backup of an installation in use, restored: the same rows, the same files, on either database."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from foldstep.service.contract.errors import Conflict, DatabaseDamaged, InvalidInput
from foldstep.service.db import counts
from foldstep.service.db.engine import Database
from foldstep.service.db.tables import metadata
from foldstep.service.flow import files
from foldstep.service.flow.backup import back_up
from foldstep.service.flow.context import Context
from foldstep.service.flow.restore import restore
from foldstep.service.settings import Settings
from tests.service.conftest import PostgresServer
from tests.service.scenes import Hand, checkpoint, new_search, result

Rows = dict[str, list[dict[str, Any]]]


def rows(settings: Settings) -> Rows:
    with closing(Database(settings.resolved_database_url)) as database, database.read() as connection:
        found = {
            table.name: [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]
            for table in metadata.sorted_tables
        }
        searches = [row["id"] for row in found["searches"]]
        # on Postgres transactions have rows of their own, which are added up from time to time
        return {**found, "counts": [{"row": row} for row in sorted(counts.by_stage(connection, searches))]}


def contents(settings: Settings) -> dict[str, bytes]:
    folders = (settings.checkpoints_dir, settings.snapshots_dir, settings.files_dir, settings.datasets_dir)
    return {
        str(path.relative_to(settings.data_dir)): path.read_bytes()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def used(context: Context) -> Context:
    """A master with a search that has results, checkpoints, and trials in training with a snapshot."""
    search = new_search(context)
    hand = Hand(context)
    held = hand.take()
    number = held.trials[0].number
    names = [checkpoint(number, fold, score) for fold, score in enumerate((0.5, 0.7))]
    folder = files.checkpoint_folder(context.settings, search)
    files.write_whole(folder, {name: name.encode() * 1000 for name in names})
    hand.report(held, result(number, (0.5, 0.7), checkpoints=True))
    hand.release(held)
    hand.take()
    return context


@pytest.fixture(params=["sqlite", "postgres"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """An empty installation."""
    url = ""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.create(f"restored_{abs(hash(tmp_path))}")
    return Settings(data_dir=tmp_path / "new", database_url=url)


def test_a_restored_backup_has_every_row_and_file(used: Context, elsewhere: Settings, tmp_path: Path) -> None:
    before, stored = rows(used.settings), contents(used.settings)
    made = back_up(used.settings, tmp_path / "b.tar")
    assert made.missing == []
    assert set(made.files) == {"foldstep.db", *stored}
    assert restore(tmp_path / "b.tar", elsewhere) == made
    assert rows(elsewhere) == before
    assert contents(elsewhere) == stored
    again = Context(Database(elsewhere.resolved_database_url), elsewhere, used.now)
    with closing(again.database):
        assert Hand(again).worker == max(row["id"] for row in before["workers"]) + 1, "no number is given twice"
    with pytest.raises(Conflict, match="already"):
        restore(tmp_path / "b.tar", elsewhere)
    assert not list(used.settings.data_dir.glob(".backup-*"))


def test_what_happens_meanwhile_takes_nothing_from_it(used: Context, tmp_path: Path) -> None:
    """Checkpoints are deleted, results come, while the files are still to be written."""
    before, stored = rows(used.settings), contents(used.settings)
    (search,) = (row["id"] for row in before["searches"])

    def meanwhile() -> None:
        files.delete_folder(files.checkpoint_folder(used.settings, search))
        new_search(used, name="later")

    made = back_up(used.settings, tmp_path / "b.tar", during=meanwhile)
    assert made.missing == []
    new = Settings(data_dir=tmp_path / "new")
    restore(tmp_path / "b.tar", new)
    assert rows(new) == before
    assert contents(new) == stored


def test_it_says_which_files_were_missing_before(used: Context, tmp_path: Path) -> None:
    (name, *_) = contents(used.settings)
    (used.settings.data_dir / name).unlink()
    assert back_up(used.settings, tmp_path / "b.tar").missing == [name]


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def changed(content: bytes) -> bytes:
    at = content.index(b"val_accuracy") + 600  # in the content of the first checkpoint
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def with_a_way_out(content: bytes) -> bytes:  # noqa: ARG001
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("checkpoints/../../evil"), io.BytesIO())
    return archive.getvalue()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("damage", [cut, changed, with_a_way_out, lambda _: b"", lambda _: b"no archive" * 1000])
def test_a_damaged_backup_changes_nothing(used: Context, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    back_up(used.settings, tmp_path / "b.tar")
    (tmp_path / "b.tar").write_bytes(damage((tmp_path / "b.tar").read_bytes()))
    new = Settings(data_dir=tmp_path / "new")
    with pytest.raises((InvalidInput, DatabaseDamaged)):
        restore(tmp_path / "b.tar", new)
    assert [path.name for path in new.data_dir.iterdir()] == ["master.lock"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_refusals(used: Context, tmp_path: Path) -> None:
    back_up(used.settings, tmp_path / "b.tar")
    with pytest.raises(InvalidInput, match="already"):
        back_up(used.settings, tmp_path / "b.tar")
    with pytest.raises(Conflict, match="no database"):
        back_up(Settings(data_dir=tmp_path / "none"), tmp_path / "c.tar")
    with pytest.raises(InvalidInput, match="cannot be written"):
        back_up(used.settings, tmp_path / "no-folder" / "c.tar")
    with pytest.raises(InvalidInput, match="no such file"):
        restore(tmp_path / "d.tar", Settings(data_dir=tmp_path / "new"))
