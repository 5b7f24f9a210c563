"""The rows of `datasets`: names for fingerprints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy.exc import IntegrityError

from foldstep.service.contract.dataset import Dataset, DatasetDescription
from foldstep.service.contract.errors import NameTaken, NotFound
from foldstep.service.db.tables import datasets


@dataclass(frozen=True)
class Origin:
    """The file that a data set was read from; nothing for a bundled set.

    Attributes:
        path: of a file of the master's, to notice that it changed since; None for an upload.
        file: SHA-256 of the file's bytes; None where an earlier version read it.
    """

    path: str | None = None
    file: str | None = None


@dataclass(frozen=True)
class DatasetRow:
    """A registered data set and where it was read from."""

    dataset: Dataset
    origin: Origin


_COLUMNS = (datasets.c.name, datasets.c.description, datasets.c.path, datasets.c.created_at, datasets.c.file)


def _row(row: Row[Any, Any, Any, Any, Any]) -> DatasetRow:
    description = DatasetDescription.model_validate(row.description)
    dataset = Dataset(name=row.name, description=description, created_at=row.created_at)
    return DatasetRow(dataset, Origin(row.path, row.file))


def find(connection: Connection, name: str) -> DatasetRow | None:
    """Find the data set with a name; None if there is none."""
    row = connection.execute(select(*_COLUMNS).where(datasets.c.name == name)).one_or_none()
    return None if row is None else _row(row)


def get(connection: Connection, name: str) -> DatasetRow:
    """Find the data set with a name.

    Raises:
        NotFound: there is none.
    """
    row = find(connection, name)
    if row is None:
        raise NotFound(f"There is no data set {name}; `foldstep datasets list` shows those that there are.")
    return row


def by_name(connection: Connection, limit: int, after: str | None = None) -> list[Dataset]:
    """List `limit` data sets after a name, by name."""
    statement = select(*_COLUMNS).order_by(datasets.c.name).limit(limit)
    if after is not None:
        statement = statement.where(datasets.c.name > after)
    return [_row(row).dataset for row in connection.execute(statement)]


def files_in_use(connection: Connection) -> set[str]:
    """Collect the SHA-256 of every file that a data set was read from."""
    found = connection.execute(select(datasets.c.file).where(datasets.c.file.is_not(None)))
    return set(found.scalars())


def add(
    connection: Connection, name: str, description: DatasetDescription, origin: Origin, now: datetime
) -> DatasetRow:
    """Insert a data set; the same data under the same name again changes nothing.

    Raises:
        NameTaken: the name stands for other data.
    """
    try:
        with connection.begin_nested():
            connection.execute(insert(datasets), {"name": name, **_values(description, origin, now)})
    except IntegrityError:
        known = get(connection, name)
        if _is_same(known, description, origin):
            return known
        raise _name_taken(known.dataset) from None
    return get(connection, name)


def replace(
    connection: Connection, name: str, description: DatasetDescription, origin: Origin, now: datetime
) -> Dataset:
    """Let an existing name stand for other data.

    Raises:
        NotFound: there is no such name.
    """
    connection.execute(update(datasets).where(datasets.c.name == name).values(_values(description, origin, now)))
    return get(connection, name).dataset


def delete(connection: Connection, name: str) -> None:
    """Delete a data set's row; a missing one is ignored."""
    connection.execute(delete_from(datasets).where(datasets.c.name == name))


def _values(description: DatasetDescription, origin: Origin, now: datetime) -> dict[str, Any]:
    facts = {"fingerprint": description.fingerprint, "description": description.model_dump(mode="json")}
    return {**facts, **asdict(origin), "created_at": now}


def _is_same(known: DatasetRow, description: DatasetDescription, origin: Origin) -> bool:
    """Compare files byte by byte, by their hashes; where one of the two is not known, compare what was read."""
    if known.origin.file is not None and origin.file is not None:
        return known.origin.file == origin.file
    return known.dataset.description.fingerprint == description.fingerprint


def _name_taken(known: Dataset) -> NameTaken:
    facts = known.description
    return NameTaken(
        f"The name {known.name} stands for other data already ({facts.n_rows} rows, {len(facts.columns)} columns, "
        f"fingerprint {facts.fingerprint[:12]}); choose another name, or let it stand for the new data with "
        f"`foldstep datasets replace {known.name} FILE`."
    )
