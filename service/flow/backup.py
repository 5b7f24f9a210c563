"""Use case: back up an installation while it is in use: the database as it is at one moment, and its files.

Files are linked, not copied, before and after the database is read, so that none that its rows name can be deleted in
between: files are only ever replaced as a whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from foldstep.service.contract.errors import Conflict, InvalidInput
from foldstep.service.contract.version import __version__
from foldstep.service.db.engine import Database
from foldstep.service.db.migrate import revision
from foldstep.service.db.named_files import named_files
from foldstep.service.db.portable import check_file, copy_out
from foldstep.service.flow import archive_file
from foldstep.service.flow.archive_file import DATABASE, FOLDERS, Manifest
from foldstep.service.settings import Settings

_TRIES = 3
STAGING = ".backup-"


def back_up(settings: Settings, file: Path, during: Callable[[], None] = lambda: None) -> Manifest:
    """Write a backup, read it back, and check it; the token is not in it.

    Args:
        settings: of the installation; a master may serve it.
        file: to write; it must not exist.
        during: called once the database has been read; for tests.

    Raises:
        InvalidInput: the file exists, or cannot be written.
        Conflict: there is no installation.
        Unavailable: the database cannot be reached.
    """
    if file.exists():
        raise InvalidInput(f"There is a file {file} already; name another one.")
    is_file = not settings.database_url
    if is_file and not (settings.data_dir / DATABASE).is_file():
        raise Conflict(f"There is no database in {settings.data_dir}; name the folder of the master with --dir.")
    draft = file.with_name(f"{file.name}.part")
    try:
        with (
            archive_file.staging_folder(settings.data_dir, STAGING) as staging,
            closing(Database(settings.resolved_database_url)) as database,
        ):
            missing = _collect(settings, database, staging, during)
            facts = _facts(staging / DATABASE, missing)
            with draft.open("xb") as out:
                draft.chmod(0o600)
                archive_file.write(out, _members(staging), facts)
                out.flush()
                os.fsync(out.fileno())
        manifest = archive_file.check(draft)
        draft.replace(file)
    except OSError as error:
        raise InvalidInput(f"The backup {file} cannot be written: {(error.strerror or str(error)).lower()}.") from error
    finally:
        draft.unlink(missing_ok=True)
    return manifest


def _facts(copy: Path, missing: list[str]) -> dict[str, object]:
    check_file(copy)
    with closing(Database(f"sqlite:///{copy}")) as database, database.read() as connection:
        present = revision(connection)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"version": __version__, "revision": present or "", "created_at": now, "missing": missing}


def _collect(settings: Settings, database: Database, staging: Path, during: Callable[[], None]) -> list[str]:
    """Fill the staging folder; list the files that rows name and that are not there."""
    missing: list[str] = []
    for _ in range(_TRIES):  # between two looks a file may be made and deleted
        _link(settings, staging)
        copy = staging / DATABASE
        copy.unlink(missing_ok=True)
        copy_out(database, copy)
        during()
        _link(settings, staging)
        missing = _missing(copy, staging)
        if not missing:
            break
    return missing


def _link(settings: Settings, staging: Path) -> None:
    for path in files_of(settings.data_dir):
        target = staging / path.relative_to(settings.data_dir)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except (FileExistsError, FileNotFoundError):
            continue  # it was linked before, or deleted since it was listed
        except OSError:
            shutil.copyfile(path, target)  # a file system without links


def files_of(data_dir: Path) -> Iterator[Path]:
    """List the files of searches and data in a data folder; drafts are none."""
    for name in FOLDERS:
        for folder, _, names in os.walk(data_dir / name):
            yield from (Path(folder) / n for n in names if not n.endswith(".part"))


def _missing(copy: Path, staging: Path) -> list[str]:
    with closing(Database(f"sqlite:///{copy}")) as database, database.read() as connection:
        named = {"/".join(filter(None, file)) for file in named_files(connection)}
    (staging / f"{DATABASE}-wal").unlink(missing_ok=True)
    (staging / f"{DATABASE}-shm").unlink(missing_ok=True)
    return sorted(name for name in named if not (staging / name).is_file())


def _members(staging: Path) -> dict[str, Path]:
    found = {path.relative_to(staging).as_posix(): path for path in sorted(files_of(staging))}
    return {DATABASE: staging / DATABASE, **{n: p for n, p in found.items() if archive_file.is_name(n)}}
