"""The description of a data set that the master stores: everything but its rows."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import AwareDatetime

from foldstep.service.contract.reading import AS_FOUND, ColumnReading, Kind, ReadingOptions
from foldstep.service.contract.space import Frozen

Fate: TypeAlias = Literal["number", "category", "date", "rare", "index", "constant", "empty", "ignored"]
"""What becomes of a column as a feature: an input, or why it is left out."""

USED: frozenset[Fate] = frozenset({"number", "category", "date"})
"""The fates of columns that networks get as inputs."""


class Finding(Frozen):
    """Something about a table that its user should know.

    Attributes:
        code: stable name of the kind of finding.
        columns: the columns that it is about; empty for the whole table.
        sentence: what was found and what was done.
        setting: how to say otherwise, as it stands in a spec; None where there is nothing to say.
        is_warning: whether a search is likely to be wrong if nothing is done.
    """

    code: str
    columns: tuple[str, ...]
    sentence: str
    setting: str | None = None
    is_warning: bool = False


class Column(Frozen):
    """One column of a table.

    Attributes:
        name: as in the file's header; `column_3` where the header has no name for the third.
        n_missing: rows without a value.
        n_distinct: different values, missing ones not counted.
        n_inputs: number of network inputs that it is encoded as; None where an earlier version read it.
        fate: what becomes of it as a feature; None where an earlier version read it.
        why: why it is of this kind and fate, in words.
        low: the least number or the first date, as text; None for text.
        high: the greatest number or the last date, as text; None for text.
        commonest: the commonest values with their counts, of a column of text.
        reading: how its cells are read; None where an earlier version read it.
    """

    name: str
    kind: Kind
    n_missing: int
    n_distinct: int
    n_inputs: int | None = None
    fate: Fate | None = None
    why: str = ""
    low: str | None = None
    high: str | None = None
    commonest: tuple[tuple[str, int], ...] = ()
    reading: ColumnReading | None = None

    @property
    def is_used(self) -> bool:
        """Whether networks can get it as a feature; what an earlier version read is used as it was then."""
        return self.fate is None or self.fate in USED


class DatasetDescription(Frozen):
    """A data set in its canonical form.

    Attributes:
        fingerprint: SHA-256 over the canonical columns, in hex; equal for equal data, whatever the file format.
        source: its origin, as the user wrote it (`digits`, a path, an upload's file name).
        bundled: whether it is one of scikit-learn's data sets.
        bytes: size of the canonical file, in bytes.
        options: what the user said about how it is read.
        findings: what its user should know about it, whatever the target.
    """

    fingerprint: str
    source: str
    bundled: bool
    n_rows: int
    columns: list[Column]
    bytes: int
    options: ReadingOptions = AS_FOUND
    findings: tuple[Finding, ...] = ()


class TargetReport(Frozen):
    """What is to be known about one column as the target, or about several.

    Attributes:
        name: of the column; of several their names, with commas.
        names: of the columns.
        findings: near-copies of it among the features, unequal classes, a long tail.
    """

    name: str
    names: tuple[str, ...]
    findings: tuple[Finding, ...]


class DataReport(Frozen):
    """The report on a data set before anything trains (`GET /datasets/{name}/report`).

    Attributes:
        data: what was read, column by column, with findings.
        target: what concerns the target; None where none was named.
    """

    data: DatasetDescription
    target: TargetReport | None


class StoredFile(Frozen):
    """An uploaded file (`PUT /files/{sha256}`).

    Attributes:
        sha256: of its bytes, as hexadecimal digits.
        bytes: its size.
    """

    sha256: str
    bytes: int


class Dataset(Frozen):
    """A registered data set: a name with the description of the data."""

    name: str
    description: DatasetDescription
    created_at: AwareDatetime


class Replaced(Frozen):
    """The answer to the replacement of a data set."""

    old: Dataset
    new: Dataset
