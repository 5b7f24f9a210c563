"""What the master knows of a data set without its rows."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.space import Frozen
from foldstep.service.contract.spec import MetricSpec


class Column(Frozen):
    """One column of a table.

    Attributes:
        name: as in the file's header.
        kind: `number` (also booleans, as 0 and 1) or `category` (text).
        n_missing: rows without a value.
        n_distinct: different values, missing ones not counted.
        n_inputs: input units that it becomes; None where an earlier version read it.
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
        source: where it came from, as the user wrote it (`digits`, a path, an upload's file name).
        bundled: whether it is one of scikit-learn's.
        bytes: size of the canonical file.
    """

    fingerprint: str
    source: str
    bundled: bool
    n_rows: int
    columns: list[Column]
    bytes: int


class Dataset(Frozen):
    """A registered data set: a name for a fingerprint."""

    name: str
    description: DatasetDescription
    created_at: AwareDatetime


class CheckedData(Frozen):
    """What a spec and its data say together; everything that the spec left to the data is filled in.

    Attributes:
        task: as given, or inferred from the target.
        target: the target column.
        metric: as given, or the task's first.
        n_folds: members that each trial has.
        n_rows: of the data set, the test part among them.
        notes: what was inferred or decided, one sentence each.
    """

    task: Task
    target: str
    metric: MetricSpec
    n_folds: int
    n_rows: int
    notes: list[str]
