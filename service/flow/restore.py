"""Use case: make an installation of a backup, in a folder that has none; all of it or nothing."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from foldstep.service.contract.errors import Conflict
from foldstep.service.db.engine import Database
from foldstep.service.db.lock import exclusive
from foldstep.service.db.portable import check_file, copy_in
from foldstep.service.flow import archive_file
from foldstep.service.flow.archive_file import DATABASE, FOLDERS, Manifest
from foldstep.service.folder import usable_folder
from foldstep.service.settings import Settings


def restore(file: Path, settings: Settings) -> Manifest:
    """Extract a backup, check every file of it, bring its database to this version, and put all in place.

    Raises:
        Conflict: the folder, or the database, has an installation already, or a master serves it.
        InvalidInput: the backup is not whole, or is none.
        DatabaseDamaged: the database in it is not whole.
    """
    usable_folder(settings.data_dir)
    with exclusive(settings.data_dir):
        _check_empty(settings.data_dir)
        with archive_file.staging_folder(settings.data_dir, ".restore-") as staging:
            manifest = archive_file.extract(file, staging)
            check_file(staging / DATABASE)
            _put_in_place(staging, settings)
    return manifest


def _check_empty(folder: Path) -> None:
    there = [name for name in (DATABASE, *FOLDERS) if _is_something(folder / name)]
    if there:
        raise Conflict(
            f"The folder {folder} has an installation already ({', '.join(there)}); name another with --dir."
        )


def _is_something(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def _put_in_place(staging: Path, settings: Settings) -> None:
    """Move the folders, then fill the database: an installation without one is none."""
    moved: list[Path] = []
    try:
        for name in FOLDERS:
            target = settings.data_dir / name
            if (staging / name).is_dir():
                shutil.rmtree(target, ignore_errors=True)
                (staging / name).replace(target)
                moved.append(target)
        with closing(Database(settings.resolved_database_url)) as database:
            copy_in(staging / DATABASE, database)
        if not settings.database_url:
            check_file(settings.data_dir / DATABASE)
    except BaseException:
        for target in moved:
            shutil.rmtree(target, ignore_errors=True)
        raise
