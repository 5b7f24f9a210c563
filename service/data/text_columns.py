"""Read the cells of a CSV file as text, a group of columns at a time, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv

from foldstep.service.data.layout import Layout, ragged

_BLOCK_BYTES, _GREAT_BLOCK_BYTES = 1 << 20, 256 << 20
"""Small blocks take less memory and time; a row that is longer than one takes a second try with great ones."""
_GROUP_BYTES = 192 << 20
"""Text that is read at once: the file's size decides how many columns that is."""


def text_columns(path: Path, layout: Layout, wanted: list[str]) -> Iterator[tuple[str, pl.Series]]:
    """Yield the wanted columns' cells as text, in the file's order.

    Raises:
        DatasetUnreadable: `ragged_row`.
        pa.ArrowInvalid: Arrow refuses the file for another reason.
    """
    n_groups = max(1, -(-path.stat().st_size // _GROUP_BYTES))
    size = -(-len(wanted) // n_groups)
    for start in range(0, len(wanted), max(size, 1)):
        names = wanted[start : start + size]
        table = read_text(path, layout, names)
        for name in names:
            column = table.column(name)
            table = table.drop_columns([name])
            text = pl.Series(name, column, dtype=pl.String)
            del column
            yield name, text
        del table
        pa.default_memory_pool().release_unused()


def read_text(path: Path, layout: Layout, names: list[str]) -> pa.Table:
    """Read columns as text, with a file object of Arrow.

    Arrow's threads must hold neither a Python file nor a handler of bad rows: a thread that releases one while the
    interpreter ends crashes the process (https://github.com/apache/arrow/issues/34314).
    """
    try:
        return _read_blocks(path, layout, names, _BLOCK_BYTES)
    except pa.ArrowInvalid as error:
        fault = ragged(path, layout)
        if fault is not None:
            raise fault from error
        if "straddling" not in str(error):
            raise
    return _read_blocks(path, layout, names, _GREAT_BLOCK_BYTES)


def _read_blocks(path: Path, layout: Layout, names: list[str], block_bytes: int) -> pa.Table:
    with pa.OSFile(str(path)) as file:
        return pa_csv.read_csv(
            file,
            read_options=pa_csv.ReadOptions(
                block_size=block_bytes,
                column_names=layout.names,
                skip_rows=layout.n_skipped,
                skip_rows_after_names=1,
            ),
            parse_options=pa_csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), include_columns=names, strings_can_be_null=False
            ),
        )
