"""The description of a data set that the master stores: everything but its rows."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from foldstep.service.contract.space import Frozen


class Column(Frozen):
    """One column of a table.

    Attributes:
        name: as in the file's header.
        kind: `number` (also booleans, as 0 and 1) or `category` (text).
        n_missing: rows without a value.
        n_distinct: different values, missing ones not counted.
        n_inputs: number of network inputs that it is encoded as; None where an earlier version read it.
    """

    name: str
    kind: Literal["number", "category"]
    n_missing: int
    n_distinct: int
    n_inputs: int | None = None


class DatasetDescription(Frozen):
    """A data set in its canonical form.

    Attributes:
        fingerprint: SHA-256 over the canonical columns, in hex; equal for equal data, whatever the file format.
        source: its origin, as the user wrote it (`digits`, a path, an upload's file name).
        bundled: whether it is one of scikit-learn's data sets.
        bytes: size of the canonical file, in bytes.
    """

    fingerprint: str
    source: str
    bundled: bool
    n_rows: int
    columns: list[Column]
    bytes: int


class Dataset(Frozen):
    """A registered data set: a name with the description of the data."""

    name: str
    description: DatasetDescription
    created_at: AwareDatetime
