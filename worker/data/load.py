"""A reader of the canonical data file that workers download from the master."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from foldstep.service.contract.columns import ColumnValues, column_from_arrow, fingerprint
from foldstep.service.contract.errors import DatasetUnreadable, Fault


@dataclass(frozen=True)
class Table:
    """A data set in memory.

    Attributes:
        columns: name to values, in the file's order; all of the same length.
    """

    columns: Mapping[str, ColumnValues]

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        column = next(iter(self.columns.values()), None)
        if column is None:
            return 0
        return len(column.codes) if hasattr(column, "codes") else len(column.values)


def read_table(path: Path, expected_fingerprint: str | None = None) -> Table:
    """Read a canonical file.

    Args:
        path: a Parquet file of float64 and text columns, as the master writes them.
        expected_fingerprint: the fingerprint that the data must have; None accepts any.

    Raises:
        DatasetUnreadable: it is no such file (`unreadable`), or holds other data (`fingerprint_mismatch`).
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise _refusal("unreadable", "a canonical Parquet file", f"{path.name}: {error}") from error
    columns = {name: column_from_arrow(table.column(name).combine_chunks()) for name in table.column_names}
    found = fingerprint(columns)
    if expected_fingerprint not in (None, found):
        raise _refusal("fingerprint_mismatch", f"data with the fingerprint {expected_fingerprint}", found)
    return Table(columns)


def _refusal(code: str, expected: str, got: str) -> DatasetUnreadable:
    fault = Fault(code=code, path="", expected=expected, got=got, hint="fetch the data from the master again")
    return DatasetUnreadable(f"The data file cannot be used: expected {expected}, got {got}.", faults=[fault])
