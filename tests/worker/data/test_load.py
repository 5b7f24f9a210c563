"""Loading canonical files, and refusing others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldstep.service.contract.columns import CategoryColumn, NumberColumn, fingerprint
from foldstep.service.contract.errors import DatasetUnreadable
from foldstep.worker.data.load import read_table


@pytest.fixture
def canonical(tmp_path: Path) -> Path:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"n": pa.array([1.0, float("nan")]), "s": pa.array(["b", None])}), path)
    return path


def code(error: pytest.ExceptionInfo[DatasetUnreadable]) -> str:
    return error.value.faults[0].code


def test_a_table(canonical: Path) -> None:
    table = read_table(canonical)
    assert (list(table.columns), table.n_rows) == (["n", "s"], 2)
    number, text = table.columns["n"], table.columns["s"]
    assert isinstance(number, NumberColumn)
    assert isinstance(text, CategoryColumn)
    np.testing.assert_array_equal(number.values, [1.0, np.nan])
    assert (text.labels, text.codes.tolist()) == (("b",), [0, -1])


def test_the_fingerprint_is_checked(canonical: Path) -> None:
    right = fingerprint(read_table(canonical).columns)
    assert read_table(canonical, right).n_rows == 2
    with pytest.raises(DatasetUnreadable) as error:
        read_table(canonical, "0" * 64)
    assert code(error) == "fingerprint_mismatch"


def test_what_is_no_file_or_no_parquet(canonical: Path, tmp_path: Path) -> None:
    canonical.write_bytes(canonical.read_bytes()[:-30])
    for path in (canonical, tmp_path / "missing.parquet"):
        with pytest.raises(DatasetUnreadable) as error:
            read_table(path)
        assert code(error) == "unreadable"
