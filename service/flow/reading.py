"""Read a file once for each way of reading it: the description is kept beside the canonical file."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from pydantic import ValidationError

from foldstep.service.contract.dataset import DatasetDescription
from foldstep.service.contract.reading import AS_FOUND, ReadingOptions
from foldstep.service.data.allowance import limits_for
from foldstep.service.data.child import ingest_in_child
from foldstep.service.data.sources import refusal
from foldstep.service.data.version import READER_VERSION
from foldstep.service.flow import files
from foldstep.service.flow.context import Context
from foldstep.service.flow.originals import sha256_of
from foldstep.service.flow.transfer import canonical_file


def read_bundled(context: Context, name: str, options: ReadingOptions = AS_FOUND) -> DatasetDescription:
    """Read one of scikit-learn's data sets, or take what was found when the same version's was read in the same way."""
    sidecar = _key(f"scikit-learn {version('scikit-learn')}: {name}", options) + ".json"
    known = _known(context, sidecar)
    if known is not None:
        return known
    folder = context.settings.datasets_dir
    limits = limits_for(context.settings, folder / name)  # of a file that there is not
    description = ingest_in_child(name, into=folder, shown_as=name, options=options, limits=limits)
    files.write_whole(folder, {sidecar: description.model_dump_json().encode()})
    return description


def read_table(
    context: Context, path: Path, options: ReadingOptions, shown_as: str, sha256: str | None = None
) -> DatasetDescription:
    """Read a file as a table, or take what was found when the same bytes were read in the same way.

    Args:
        context: of the master.
        path: the file.
        options: what the user says about how it is read.
        shown_as: what the description calls the file.
        sha256: of its bytes, where it is known; None to compute it.

    Raises:
        DatasetUnreadable: the file is not a table, or the master may not read it.
    """
    before = _stamp(path)
    sidecar = f"{_key(sha256 or hash_of(path), options)}.json"
    known = _known(context, sidecar)
    if known is not None:
        return known.model_copy(update={"source": shown_as})
    folder = context.settings.datasets_dir
    limits = limits_for(context.settings, path)
    description = ingest_in_child(path, into=folder, shown_as=shown_as, options=options, limits=limits)
    if _stamp(path) == before:  # else other bytes may have been read than were hashed
        files.write_whole(folder, {sidecar: description.model_dump_json().encode()})
    return description


def hash_of(path: Path) -> str:
    """Compute the SHA-256 of a data file.

    Raises:
        DatasetUnreadable: the master may not read it.
    """
    try:
        return sha256_of(path)
    except OSError as error:
        got = f"{path.name}: {error.strerror}"
        raise refusal("unreadable", expected="a file that the master may read", got=got) from error


def _key(source: str, options: ReadingOptions) -> str:
    words = json.dumps([source, READER_VERSION, options.model_dump(mode="json")], sort_keys=True)
    return hashlib.sha256(words.encode()).hexdigest()


def _known(context: Context, sidecar: str) -> DatasetDescription | None:
    """Find what was read before; None where there is nothing, where it was damaged, or where its data are gone."""
    with suppress(OSError, ValidationError):
        text = (context.settings.datasets_dir / sidecar).read_bytes()
        description = DatasetDescription.model_validate_json(text)
        if canonical_file(context, description.fingerprint).is_file():
            return description
    return None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
