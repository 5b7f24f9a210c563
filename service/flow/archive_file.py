"""The file of a backup: a tar archive of plain files, and as its last member a manifest with the SHA-256 of each."""

from __future__ import annotations

import hashlib
import io
import json
import re
import secrets
import shutil
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pydantic import ValidationError

from foldstep.service.contract.errors import InvalidInput
from foldstep.service.contract.space import Frozen

DATABASE = "foldstep.db"
FOLDERS = ("checkpoints", "snapshots", "datasets", "files")
_MANIFEST = "manifest.json"
_FORMAT = "foldstep-backup/1"
_BLOCK = 1 << 20
_NAME = re.compile(rf"{re.escape(DATABASE)}|(?:{'|'.join(FOLDERS)})(?:/[A-Za-z0-9][A-Za-z0-9._=-]*){{1,2}}")


class Member(Frozen):
    """A file of a backup.

    Attributes:
        bytes: its size.
        sha256: of its content.
    """

    bytes: int
    sha256: str


class Manifest(Frozen):
    """What a backup holds.

    Attributes:
        format: of the archive.
        version: of the Foldstep that made it.
        revision: of the database in it.
        created_at: when, in UTC.
        missing: files that rows name and that were not there.
        files: by name.
    """

    format: str = _FORMAT
    version: str
    revision: str
    created_at: str
    missing: list[str]
    files: dict[str, Member]


def is_name(name: str) -> bool:
    """Tell whether a backup may have a file of this name."""
    return _NAME.fullmatch(name) is not None


def write(file: IO[bytes], paths: Mapping[str, Path], facts: Mapping[str, Any]) -> Manifest:
    """Write files under their names, then the manifest, with the other fields that it has."""
    members = {}
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name, path in paths.items():
            with path.open("rb") as content:
                hashed = _Hashed(content)
                head = tarfile.TarInfo(name)
                head.size, head.mode = path.stat().st_size, 0o600
                archive.addfile(head, hashed)
                members[name] = Member(bytes=head.size, sha256=hashed.digest.hexdigest())
        manifest = Manifest(**facts, files=members)
        text = manifest.model_dump_json().encode()
        head = tarfile.TarInfo(_MANIFEST)
        head.size, head.mode = len(text), 0o600
        archive.addfile(head, io.BytesIO(text))
    return manifest


def check(path: Path) -> Manifest:
    """Read a backup to its end, and compare every file with the manifest.

    Raises:
        InvalidInput: it is not whole, or is none.
    """
    return _checked(path, lambda *_: None)


@contextmanager
def staging_folder(beside: Path, prefix: str) -> Iterator[Path]:
    """Make a folder for its owner alone, with a name of its own, and delete it at the end with what is left in it."""
    path = beside / f"{prefix}{secrets.token_hex(4)}"
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def extract(path: Path, folder: Path) -> Manifest:
    """Write the files of a backup below a folder, and compare every one with the manifest.

    Raises:
        InvalidInput: it is not whole, or is none.
    """

    def keep(name: str, blocks: Iterable[bytes]) -> None:
        target = folder / PurePosixPath(name)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with target.open("xb") as file:
            target.chmod(0o600)
            for block in blocks:
                file.write(block)

    return _checked(path, keep)


def _checked(path: Path, keep: Any) -> Manifest:
    found: dict[str, Member] = {}
    manifest: Manifest | None = None
    with _reading(path) as archive:
        for head in archive:
            if not head.isreg() or head.issparse() or manifest is not None:
                raise _no_backup(path, f"it has an entry {head.name!r} that no backup has")
            content = archive.extractfile(head)
            assert content is not None
            if head.name == _MANIFEST:
                manifest = Manifest.model_validate_json(content.read())
                continue
            if not is_name(head.name) or head.name in found:
                raise _no_backup(path, f"it has an entry {head.name!r} that no backup has")
            hashed = _Hashed(content)
            keep(head.name, hashed.blocks())
            hashed.drain()
            found[head.name] = Member(bytes=head.size, sha256=hashed.digest.hexdigest())
    _compare(path, found, manifest)
    assert manifest is not None
    return manifest


def _compare(path: Path, found: Mapping[str, Member], manifest: Manifest | None) -> None:
    if manifest is None or manifest.format != _FORMAT:
        raise _no_backup(path, "its end is missing" if manifest is None else f"its format is {manifest.format!r}")
    differing = sorted(n for n in {*found, *manifest.files} if found.get(n) != manifest.files.get(n))
    if differing:
        raise _no_backup(path, f"{len(differing)} of its files are missing or have changed, {differing[0]} first")
    if DATABASE not in found:
        raise _no_backup(path, "it has no database")


@contextmanager
def _reading(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, mode="r|") as archive:
            yield archive
    except (tarfile.TarError, EOFError, ValidationError, json.JSONDecodeError) as error:
        raise _no_backup(path, "it is cut short, or is none") from error
    except OSError as error:
        raise _no_backup(path, (error.strerror or str(error)).lower()) from error


def _no_backup(path: Path, reason: str) -> InvalidInput:
    return InvalidInput(f"The backup {path} cannot be used: {reason}. Nothing was changed; take another backup.")


class _Hashed:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, n: int = -1) -> bytes:
        """Read on."""
        block = self._file.read(n)
        self.digest.update(block)
        return block

    def blocks(self) -> Iterator[bytes]:
        """Read to the end, block by block."""
        while block := self.read(_BLOCK):
            yield block

    def drain(self) -> None:
        """Read what is left."""
        for _ in self.blocks():
            pass
