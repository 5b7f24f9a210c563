"""Use cases: register, replace and delete a data set, and find the data that a spec names."""

from __future__ import annotations

from pathlib import Path

from foldstep.service.contract.dataset import Dataset, DatasetDescription, Replaced
from foldstep.service.contract.errors import Fault, InvalidInput, SpecInvalid
from foldstep.service.contract.reading import AS_FOUND, ReadingOptions
from foldstep.service.contract.spec import MASTER_PREFIX, DataSpec
from foldstep.service.contract.submit import NAME_PATTERN, DatasetRegistration, DatasetSource
from foldstep.service.data.sources import BUNDLED, resolve_path
from foldstep.service.db import datasets
from foldstep.service.db.datasets import DatasetRow, Origin
from foldstep.service.flow import originals
from foldstep.service.flow.context import Context
from foldstep.service.flow.pages import Page, page_of, read_cursor
from foldstep.service.flow.reading import hash_of, read_bundled, read_table
from foldstep.service.flow.transfer import canonical_file

MAX_DATASETS = 1000


def register(context: Context, registration: DatasetRegistration) -> Dataset:
    """Give a name to an uploaded file, a file that the master may read, or a bundled set.

    The same again changes nothing.

    Raises:
        InvalidInput: no data set can have that name, or the file was not uploaded.
        PathNotAllowed: the file is outside the allowed roots.
        DatasetUnreadable: the file is not a table.
        NameTaken: the name stands for other data.
    """
    name = registration.name
    _check_name(name, registration)
    description, origin = _read(context, registration)
    with context.database.write() as connection:
        known = datasets.add(connection, name, description, origin, context.now())
        if known.origin.file is None and origin.file is not None:
            return datasets.replace(connection, name, description, origin, context.now())
    return known.dataset


def replace(context: Context, name: str, source: DatasetSource) -> Replaced:
    """Let a name stand for other data; searches that have begun keep the data that they began with.

    Raises:
        NotFound: no data set has that name.
        InvalidInput: the name is that of a bundled set, or the file was not uploaded.
        PathNotAllowed: the file is outside the allowed roots.
        DatasetUnreadable: the file is not a table.
    """
    get(context, name)
    _check_name(name, source)
    description, origin = _read(context, source)
    with context.database.write() as connection:
        old = datasets.get(connection, name)
        new = datasets.replace(connection, name, description, origin, context.now())
    originals.delete_unused(context, old.origin.file)
    return Replaced(old=old.dataset, new=new)


def delete(context: Context, name: str) -> None:
    """Forget a data set; searches that have begun keep the data that they began with.

    Raises:
        NotFound: no data set has that name.
    """
    with context.database.write() as connection:
        old = datasets.get(connection, name)
        datasets.delete(connection, name)
    originals.delete_unused(context, old.origin.file)


def get(context: Context, name: str) -> Dataset:
    """Find one data set.

    Raises:
        NotFound: no data set has that name.
    """
    with context.database.read() as connection:
        return datasets.get(connection, name).dataset


def all_datasets(context: Context, limit: int = MAX_DATASETS, cursor: str | None = None) -> Page[Dataset]:
    """List a page of the data sets, by name.

    Raises:
        InvalidInput: the cursor is not one of this list's.
    """
    key = read_cursor(cursor, _named_in)
    with context.database.read() as connection:
        rows = datasets.by_name(connection, limit + 1, key[0] if key else None)
    return page_of(rows, limit, lambda dataset: (dataset.name,))


def _named_in(name: str) -> tuple[str]:
    if not isinstance(name, str):
        raise TypeError
    return (name,)


def described(context: Context, data: DataSpec) -> DatasetDescription:
    """Describe the data that a spec names, read as it says: a registered name, a bundled set, or a file.

    `master:` before a path says that a file of the master's is meant, whatever names are registered.

    Raises:
        SpecInvalid: the file of a registered name has changed since, or is needed again and gone.
        PathNotAllowed: the file is outside the allowed roots.
        DatasetUnreadable: there is no such file, or it is not a table.
    """
    source = data.dataset
    with context.database.read() as connection:
        known = datasets.find(connection, source)
        names = [*BUNDLED, *([] if known else (dataset.name for dataset in datasets.by_name(connection, MAX_DATASETS)))]
    if known is not None:
        return _named(context, known, data.reading)
    if source in BUNDLED:
        return _bundled(context, source, data.reading)
    settings = context.settings
    path = resolve_path(source.removeprefix(MASTER_PREFIX), settings.allowed_roots, names, settings.private_paths)
    return read_table(context, path, data.reading, source)


def _bundled(context: Context, name: str, options: ReadingOptions) -> DatasetDescription:
    """Read a bundled set, and register it under its own name where nothing is said about its reading."""
    description = read_bundled(context, name, options)
    if options == AS_FOUND:
        with context.database.write() as connection:
            datasets.add(connection, name, description, Origin(), context.now())
    return description


def _named(context: Context, row: DatasetRow, options: ReadingOptions) -> DatasetDescription:
    """Describe registered data: as they were read when they were registered, or as the options say."""
    description = row.dataset.description
    _check_unchanged(context, row)
    if options == description.options and canonical_file(context, description.fingerprint).is_file():
        return description
    if description.bundled:
        return read_bundled(context, description.source, options)
    original = _original(context, row.origin)
    if original is None:
        raise _original_gone(row.dataset.name)
    return read_table(context, original, options, description.source)


def _check_unchanged(context: Context, row: DatasetRow) -> None:
    """Refuse registered data whose file on the master exists and holds other data than it did."""
    path = None if row.origin.path is None else Path(row.origin.path)
    if path is None or not path.is_file() or hash_of(path) == row.origin.file:
        return
    description = row.dataset.description
    if read_table(context, path, description.options, description.source).fingerprint != description.fingerprint:
        name = row.dataset.name
        hint = f"`foldstep datasets replace {name} FILE` takes the new data, and searches that have begun keep theirs"
        expected = f"the data that were registered as {name}"
        got = f"{path}, which has changed since"
        raise SpecInvalid([Fault(code="data_changed", path="data.dataset", expected=expected, got=got, hint=hint)])


def _original(context: Context, origin: Origin) -> Path | None:
    """Find the file that data were read from; None where it is gone."""
    kept = None if origin.file is None else originals.original_file(context, origin.file)
    named = None if origin.path is None else Path(origin.path)
    return next((path for path in (kept, named) if path is not None and path.is_file()), None)


def _original_gone(name: str) -> SpecInvalid:
    expected = "data whose file the master still has, to read it as the spec says"
    hint = f"`foldstep datasets replace {name} FILE` sends the file again"
    got = f"{name}, whose file is gone"
    return SpecInvalid([Fault(code="original_gone", path="data.dataset", expected=expected, got=got, hint=hint)])


def _read(context: Context, source: DatasetSource) -> tuple[DatasetDescription, Origin]:
    """Read what a registration names, and say which file that was."""
    if source.file is not None:
        path = originals.uploaded(context, source.file)
        description = read_table(context, path, source.options, source.source, source.file)
        return description, Origin(file=source.file)
    if source.source in BUNDLED:
        return read_bundled(context, source.source, source.options), Origin()
    path = resolve_path(source.source, context.settings.allowed_roots, private=context.settings.private_paths)
    sha256 = hash_of(path)
    return read_table(context, path, source.options, source.source, sha256), Origin(str(path), sha256)


def _check_name(name: str, source: DatasetSource) -> None:
    """Refuse a name of the wrong form, and the name of a bundled set for other data."""
    is_that_set = source.file is None and source.source == name
    if not NAME_PATTERN.fullmatch(name):
        expected = "1 to 200 letters, digits, dots, underscores or dashes, a letter or digit first"
    elif name in BUNDLED and not is_that_set:
        expected = "a name that is none of scikit-learn's data sets"
    else:
        return
    fault = Fault(code="bad_name", path="name", expected=expected, got=name)
    raise InvalidInput(f"A data set cannot have this name: {fault}.", faults=[fault])
