"""Use case: look over the data folder of an installation, whether a master serves it or not; nothing is changed."""

from __future__ import annotations

import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal, NamedTuple

from foldstep.service.contract.errors import FoldstepError
from foldstep.service.contract.numbers import size
from foldstep.service.db import searches
from foldstep.service.db.engine import Database
from foldstep.service.db.migrate import HEAD, revision
from foldstep.service.db.named_files import named_files
from foldstep.service.db.portable import check_file
from foldstep.service.flow.archive_file import DATABASE
from foldstep.service.flow.backup import files_of
from foldstep.service.settings import Settings

_LOW_BYTES, _LOW_SHARE = 1 << 30, 0.03
_SETTLED_S = 3600.0
"""Seconds after which a file that no row names is no longer on its way in."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Finding(NamedTuple):
    """What one check found.

    Attributes:
        check: its name.
        level: `ok`; `look` where something may become a problem; `bad` where it is one.
        said: what it found, in words.
        way_out: what to do about it; empty where nothing is to be done.
    """

    check: str
    level: Literal["ok", "look", "bad"]
    said: str
    way_out: str = ""


def inspect_folder(settings: Settings) -> list[Finding]:
    """Check the data folder and the database; a check that cannot be made says why."""
    folder = settings.data_dir
    if not folder.is_dir():
        return [Finding("folder", "bad", f"there is no folder {folder}", "name the master's folder with --dir")]
    checks: list[Callable[[Settings], Iterator[Finding]]] = [_folder, _modes, _disk, _database, _files, _leftovers]
    return [finding for check in checks for finding in _made(check, settings)]


def _made(check: Callable[[Settings], Iterator[Finding]], settings: Settings) -> list[Finding]:
    try:
        return list(check(settings))
    except (FoldstepError, OSError) as error:
        return [Finding(check.__name__.strip("_"), "bad", str(error).rstrip("."))]


def _folder(settings: Settings) -> Iterator[Finding]:
    try:
        with tempfile.TemporaryFile(dir=settings.data_dir) as file:
            file.write(bytes(4096))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        yield Finding("folder", "bad", f"{settings.data_dir} cannot be written to: {reason}", "make it writable")
    else:
        yield Finding("folder", "ok", f"{settings.data_dir} can be written to")


def _modes(settings: Settings) -> Iterator[Finding]:
    secret = settings.data_dir / "token"
    if secret.exists() and secret.stat().st_mode & _OTHERS:
        yield Finding("modes", "bad", "others can read the token", f"chmod 600 {secret}, then replace the token")
    elif settings.data_dir.stat().st_mode & _OTHERS:
        yield Finding("modes", "look", "other users can look into the folder", f"chmod 700 {settings.data_dir}")
    else:
        yield Finding("modes", "ok", "only its owner can look into the folder")


def _disk(settings: Settings) -> Iterator[Finding]:
    usage = shutil.disk_usage(settings.data_dir)
    said = f"{size(usage.free)} of {size(usage.total)} are free"
    is_low = usage.free < min(_LOW_BYTES, _LOW_SHARE * usage.total)
    way_out = "delete searches (foldstep delete), or let the master do so (FOLDSTEP_KEEP_DAYS)" if is_low else ""
    yield Finding("disk", "look" if is_low else "ok", said, way_out)


def _database(settings: Settings) -> Iterator[Finding]:
    path = settings.data_dir / DATABASE
    if not settings.database_url and not path.is_file():
        yield Finding("database", "bad", f"there is no {path}", "start a master once, or restore a backup")
        return
    if not settings.database_url:
        check_file(path)
    with closing(Database(settings.resolved_database_url)) as database, database.read() as connection:
        present = revision(connection) or "none"
    yield Finding("database", "ok", "it is whole" if not settings.database_url else "it answers")
    if present == HEAD:
        yield Finding("version", "ok", f"the database is of this version ({HEAD})")
    elif present < HEAD or present == "none":
        yield Finding("version", "look", f"the database is of an earlier version ({present})", "foldstep upgrade")
    else:
        yield Finding("version", "bad", f"the database is of a newer version ({present})", "install that version")


def _files(settings: Settings) -> Iterator[Finding]:
    """Compare the files that rows name with those that are there."""
    if not settings.database_url and not (settings.data_dir / DATABASE).is_file():
        return
    with closing(Database(settings.resolved_database_url)) as database, database.read() as connection:
        if revision(connection) != HEAD:
            return
        named = {"/".join(filter(None, file)) for file in named_files(connection)}
        known = set(searches.all_ids(connection))
    there = {path.relative_to(settings.data_dir).as_posix(): path for path in files_of(settings.data_dir)}
    missing = sorted(named - there.keys())
    orphans = [name for name in there.keys() - named if _is_orphan(name, there[name], known)]
    if missing:
        said = f"{len(missing)} files are missing that the database names, as {missing[0]}"
        yield Finding("files", "bad", said, "restore a backup; data sets can be registered again")
    if orphans:
        n_bytes = sum(there[name].stat().st_size for name in orphans)
        said = f"{len(orphans)} files of {size(n_bytes)} belong to no search, as {min(orphans)}"
        yield Finding("files", "look", said, "foldstep recover reads those of lost searches; else delete them")
    if not missing and not orphans:
        yield Finding("files", "ok", f"all {len(named):,} that the database names are there, and no others")


def _is_orphan(name: str, path: Path, known: set[str]) -> bool:
    kind, _, rest = name.partition("/")
    if kind not in ("checkpoints", "snapshots"):
        return False  # uploads may be registered any time
    return rest.partition("/")[0] not in known or time.time() - path.stat().st_mtime > _SETTLED_S


def _leftovers(settings: Settings) -> Iterator[Finding]:
    found = sorted(p.name for pattern in (".backup-*", ".restore-*") for p in settings.data_dir.glob(pattern))
    if found:
        said = f"a backup or a restore was ended before its end: {', '.join(found)}"
        yield Finding("leftovers", "look", said, "delete these folders, unless one runs just now")
