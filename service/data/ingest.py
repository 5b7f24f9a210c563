"""Converts a file or a bundled set to the canonical file that workers fetch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from foldstep.service.contract.columns import ColumnValues, NumberColumn, column_from_arrow, fingerprint
from foldstep.service.contract.dataset import Column, DatasetDescription
from foldstep.service.contract.features import n_inputs
from foldstep.service.contract.reading import AS_FOUND, ReadingOptions
from foldstep.service.data.read import read_file
from foldstep.service.data.sources import BUNDLED


def ingest(
    source: str | Path, *, into: Path, shown_as: str | None = None, options: ReadingOptions = AS_FOUND
) -> DatasetDescription:
    """Read a data set and write its canonical file, `<into>/<fingerprint>.parquet`.

    The file is written whole or not at all; writing the same data twice leaves one file.

    Args:
        source: a bundled set's name, or a path (allowed already, see `sources.resolve_path`).
        into: folder of canonical files; made where it is missing.
        shown_as: what the description calls the source; the source itself when left out.
        options: what the user says about how it is read.

    Raises:
        DatasetUnreadable: the fault's code says why.
    """
    is_bundled = isinstance(source, str) and source in BUNDLED
    table = _bundled(str(source)) if is_bundled else read_file(Path(source))
    columns = {name: column_from_arrow(table.column(name).combine_chunks()) for name in table.column_names}
    name = fingerprint(columns)
    return DatasetDescription(
        fingerprint=name,
        source=shown_as or str(source),
        bundled=is_bundled,
        n_rows=table.num_rows,
        columns=[_describe(name, column) for name, column in columns.items()],
        bytes=_write(columns, into / f"{name}.parquet"),
        options=options,
    )


def _bundled(name: str) -> pa.Table:
    from foldstep.service.data.bundled import load_bundled  # imports scikit-learn for a second, which files do not need

    return load_bundled(name)


def _describe(name: str, column: ColumnValues) -> Column:
    inputs = n_inputs(column)
    if isinstance(column, NumberColumn):
        present = column.values[~np.isnan(column.values)]
        n_missing, n_distinct = len(column.values) - len(present), len(np.unique(present))
        return Column(name=name, kind="number", n_missing=n_missing, n_distinct=n_distinct, n_inputs=inputs)
    n_missing, n_distinct = int((column.codes < 0).sum()), len(column.labels)
    return Column(name=name, kind="category", n_missing=n_missing, n_distinct=n_distinct, n_inputs=inputs)


def _write(columns: Mapping[str, ColumnValues], path: Path) -> int:
    """Write a temporary file, flush it to the disk, rename it, and return its size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({name: _to_arrow(column) for name, column in columns.items()})
    with NamedTemporaryFile(dir=path.parent, prefix=".ingest-", delete=False) as file:
        try:
            pq.write_table(table, file)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    return path.stat().st_size


def _to_arrow(column: ColumnValues) -> pa.Array:
    if isinstance(column, NumberColumn):
        return pa.array(column.values)
    codes = pa.array(column.codes, mask=column.codes < 0)
    return pa.DictionaryArray.from_arrays(codes, pa.array(column.labels, pa.string())).cast(pa.string())
