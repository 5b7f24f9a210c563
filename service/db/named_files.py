"""The files that the rows name: those that must be in the data folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Connection, select

from foldstep.service.contract.states import TERMINAL_SEARCH
from foldstep.service.db.tables import datasets, folds, searches, trials


class NamedFile(NamedTuple):
    """A file that a row names.

    Attributes:
        kind: its folder: `checkpoints`, `snapshots`, `datasets` or `files`.
        owner: the search whose file it is; None where it is one of the data.
        name: of the file.
    """

    kind: str
    owner: str | None
    name: str


def named_files(connection: Connection) -> Iterator[NamedFile]:
    """List every file that the rows name; snapshots only of searches that go on."""
    for search, name in connection.execute(
        select(folds.c.search_id, folds.c.checkpoint).where(folds.c.checkpoint.is_not(None))
    ):
        yield NamedFile("checkpoints", search, name)
    is_open = searches.c.state.not_in(sorted(TERMINAL_SEARCH))
    for search, name in connection.execute(
        select(trials.c.search_id, trials.c.resume)
        .select_from(trials.join(searches, trials.c.search_id == searches.c.id))
        .where(is_open, trials.c.resume.is_not(None))
    ):
        yield NamedFile("snapshots", search, name)
    for fingerprint, file in connection.execute(select(datasets.c.fingerprint, datasets.c.file)):
        yield NamedFile("datasets", None, f"{fingerprint}.parquet")
        if file is not None:
            yield NamedFile("files", None, file)
