"""Use cases: register a data set, and find the data that a spec names."""

from __future__ import annotations

from pathlib import Path

from foldstep.service.contract.dataset import Dataset, DatasetDescription
from foldstep.service.contract.errors import Fault, InvalidInput, SpecInvalid
from foldstep.service.contract.submit import NAME_PATTERN, DatasetRegistration
from foldstep.service.data.child import ingest_in_child
from foldstep.service.data.sources import BUNDLED, resolve_path
from foldstep.service.db import datasets
from foldstep.service.db.datasets import DatasetRow
from foldstep.service.flow import files
from foldstep.service.flow.context import Context


def register(context: Context, registration: DatasetRegistration) -> Dataset:
    """Give a name to a file that the master may read, or to a bundled set; the same again changes nothing.

    Raises:
        PathNotAllowed: the file is outside the allowed roots.
        DatasetUnreadable: the file is not a table.
        NameTaken: the name stands for other data.
    """
    _check_name(registration.name, registration.source)
    if registration.source in BUNDLED:
        description, path = _ingest(context, registration.source, registration.source), None
    else:
        path = resolve_path(registration.source, context.settings.allowed_roots)
        description = _ingest(context, path, registration.source)
    return _add(context, registration.name, description, path)


def register_upload(context: Context, name: str, file_name: str, content: Path) -> Dataset:
    """Give a name to an uploaded file.

    Args:
        context: of the master.
        name: what specs call it.
        file_name: what the user calls the file; its ending says the format.
        content: the file as it arrived, with the same ending.

    Raises:
        DatasetUnreadable: the file is not a table.
        NameTaken: the name stands for other data.
    """
    _check_name(name, file_name)
    return _add(context, name, _ingest(context, content, file_name), None)


def get(context: Context, name: str) -> Dataset:
    """Find one data set.

    Raises:
        NotFound: no data set has that name.
    """
    with context.database.read() as connection:
        return datasets.get(connection, name)


def all_datasets(context: Context) -> list[Dataset]:
    """List every data set, by name."""
    with context.database.read() as connection:
        return datasets.all_of_them(connection)


def described(context: Context, source: str) -> DatasetDescription:
    """Describe the data that `data.dataset` of a spec names: a registered name, a bundled set, or a file.

    Raises:
        SpecInvalid: the file of a registered name has changed since.
        PathNotAllowed: the file is outside the allowed roots.
        DatasetUnreadable: there is no such file, or it is not a table.
    """
    with context.database.read() as connection:
        known = datasets.find(connection, source)
        names = [*BUNDLED, *([] if known else (dataset.name for dataset in datasets.all_of_them(connection)))]
    if known is not None:
        return _unchanged(context, source, known)
    if source in BUNDLED:
        return _add(context, source, _ingest(context, source, source), None).description
    return _ingest(context, resolve_path(source, context.settings.allowed_roots, names), source)


def _unchanged(context: Context, name: str, known: DatasetRow) -> DatasetDescription:
    """Check that the file of registered data still holds them, if it exists; return their description."""
    description = known.dataset.description
    if known.path is None or not Path(known.path).is_file():
        return description
    now = _ingest(context, Path(known.path), description.source)
    if now.fingerprint != description.fingerprint:
        hint = "register the new data under another name, or give the file's path"
        got = f"{known.path}, which has changed"
        expected = f"the data that were registered as {name}"
        raise SpecInvalid([Fault(code="data_changed", path="data.dataset", expected=expected, got=got, hint=hint)])
    return description


def _ingest(context: Context, source: str | Path, shown_as: str) -> DatasetDescription:
    return ingest_in_child(source, into=context.settings.datasets_dir, shown_as=shown_as)


def _add(context: Context, name: str, description: DatasetDescription, path: Path | None) -> Dataset:
    with context.database.write() as connection:
        return datasets.add(connection, name, description, None if path is None else str(path), context.now())


def _check_name(name: str, source: str) -> None:
    """Refuse a name of the wrong form, and the name of a bundled set for other data."""
    if not NAME_PATTERN.fullmatch(name):
        expected = "1 to 200 letters, digits, dots, underscores or dashes, a letter or digit first"
    elif name in BUNDLED and source != name:
        expected = "a name that is none of scikit-learn's data sets"
    else:
        return
    fault = Fault(code="bad_name", path="name", expected=expected, got=name)
    raise InvalidInput(f"A data set cannot have this name: {fault}.", faults=[fault])


def new_upload(context: Context, file_name: str) -> Path:
    """Choose a path to write an upload to, with the ending of the user's file."""
    context.settings.uploads_dir.mkdir(parents=True, exist_ok=True)
    return context.settings.uploads_dir / files.random_name("".join(Path(file_name).suffixes[-2:]))
