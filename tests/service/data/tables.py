"""Write small tables to files, and look at how they are read."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldstep.service.contract.columns import CategoryColumn, ColumnValues
from foldstep.service.contract.dataset import DatasetDescription, Finding
from foldstep.service.contract.errors import DatasetUnreadable, Fault
from foldstep.service.contract.reading import ReadingOptions
from foldstep.service.data.ingest import ingest
from foldstep.service.data.read import ReadColumn, ReadTable, read_file


def listed(values: ColumnValues) -> list[Any]:
    """List the values of a column, None for missing."""
    if isinstance(values, CategoryColumn):
        return [None if code < 0 else values.labels[code] for code in values.codes]
    return [None if np.isnan(value) else float(value) for value in values.values]


def write(folder: Path, content: str | bytes, name: str = "table.csv") -> Path:
    """Write a file."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def csv_of(columns: dict[str, list[str]], delimiter: str = ",") -> str:
    """Write columns of cells as CSV."""
    text = StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def read(folder: Path, content: str | bytes, **options: Any) -> ReadTable:
    """Read the content of a file."""
    return read_file(write(folder, content), ReadingOptions(**options))


def read_cells(
    folder: Path, cells: list[str], delimiter: str = ",", **options: Any
) -> tuple[ReadColumn, dict[str, Finding]]:
    """Read the cells of a column x beside another one; the column, and its findings by code."""
    other = [f"k{i % 2}" for i in range(len(cells))]
    table = read(folder, csv_of({"x": cells, "other": other}, delimiter), **options)
    return table.columns["x"], {f.code: f for f in table.findings if f.columns == ("x",)}


def describe(folder: Path, content: str | bytes, **options: Any) -> DatasetDescription:
    """Ingest the content of a file."""
    return ingest(write(folder, content), into=folder / "canonical", options=ReadingOptions(**options))


def codes(description: DatasetDescription) -> set[str]:
    """List the findings' codes."""
    return {finding.code for finding in description.findings}


def refused(folder: Path, content: str | bytes, **options: Any) -> Fault:
    """Read a file that is refused; its only fault, with a sentence that says what to do."""
    with pytest.raises(DatasetUnreadable) as error:
        describe(folder, content, **options)
    [fault] = error.value.faults
    assert fault.path == "data.dataset"
    assert "Traceback" not in error.value.message
    assert error.value.message.count("\n") == 0
    return fault
