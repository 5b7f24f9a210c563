"""The rows of `datasets`: names for fingerprints."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select
from sqlalchemy.exc import IntegrityError

from foldstep.service.contract.dataset import Dataset, DatasetDescription
from foldstep.service.contract.errors import NameTaken, NotFound
from foldstep.service.db.tables import datasets


@dataclass(frozen=True)
class DatasetRow:
    """A registered data set and the file that it was read from, where there is one."""

    dataset: Dataset
    path: str | None


_COLUMNS = (datasets.c.name, datasets.c.description, datasets.c.path, datasets.c.created_at)


def _row(row: Row[Any, Any, Any, Any]) -> DatasetRow:
    description = DatasetDescription.model_validate(row.description)
    return DatasetRow(Dataset(name=row.name, description=description, created_at=row.created_at), row.path)


def find(connection: Connection, name: str) -> DatasetRow | None:
    """Find the data set with a name; None if there is none."""
    row = connection.execute(select(*_COLUMNS).where(datasets.c.name == name)).one_or_none()
    return None if row is None else _row(row)


def get(connection: Connection, name: str) -> Dataset:
    """Find the data set with a name.

    Raises:
        NotFound: there is none.
    """
    row = find(connection, name)
    if row is None:
        raise NotFound(f"There is no data set {name}; `foldstep datasets list` shows those that there are.")
    return row.dataset


def all_of_them(connection: Connection) -> list[Dataset]:
    """List every data set, by name."""
    return [_row(row).dataset for row in connection.execute(select(*_COLUMNS).order_by(datasets.c.name))]


def add(connection: Connection, name: str, description: DatasetDescription, path: str | None, now: datetime) -> Dataset:
    """Insert a data set; the same data under the same name again changes nothing.

    Raises:
        NameTaken: the name stands for other data.
    """
    values = {"name": name, "fingerprint": description.fingerprint, "path": path, "created_at": now}
    try:
        with connection.begin_nested():
            connection.execute(insert(datasets), {**values, "description": description.model_dump()})
    except IntegrityError:
        return _same(get(connection, name), description)
    return Dataset(name=name, description=description, created_at=now)


def _same(known: Dataset, description: DatasetDescription) -> Dataset:
    if known.description.fingerprint != description.fingerprint:
        raise NameTaken(f"The name {known.name} stands for other data already; register this under another name.")
    return known
