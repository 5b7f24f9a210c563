"""Canonical files: the same data, the same fingerprint, whatever it came in; in this process and in a child."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from foldstep.service.contract.columns import NumberColumn
from foldstep.service.contract.dataset import Column
from foldstep.service.contract.errors import DatasetUnreadable
from foldstep.service.contract.reading import ColumnReading
from foldstep.service.data.child import ingest_in_child
from foldstep.service.data.ingest import ingest
from foldstep.service.data.sources import BUNDLED
from foldstep.worker.data.load import read_table

CSV = "n,s,b\n1.5,x,true\n,y,false\n-0,?,true\n"


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_text(CSV)
    return path


def test_a_description_says_what_is_there(csv_file: Path, tmp_path: Path) -> None:
    into = tmp_path / "canonical" / "deep"
    description = ingest(csv_file, into=into, shown_as="upload.csv")
    assert description.columns == [
        Column(name="n", kind="number", n_missing=1, n_distinct=2, n_inputs=2, fate="number",
               why="every cell is a number", low="0", high="1.5", reading=ColumnReading(name="n", kind="number")),
        Column(name="s", kind="category", n_missing=1, n_distinct=2, n_inputs=3, fate="category", why="text",
               commonest=(("x", 1), ("y", 1)), reading=ColumnReading(name="s", kind="category")),
        Column(name="b", kind="category", n_missing=0, n_distinct=2, n_inputs=2, fate="category",
               why="false or true in every cell", commonest=(("true", 2), ("false", 1)),
               reading=ColumnReading(name="b", kind="category", labels=("false", "true"))),
    ]  # fmt: skip
    assert (description.n_rows, description.source, description.bundled) == (3, "upload.csv", False)
    [file] = into.iterdir()
    assert file.name == f"{description.fingerprint}.parquet"
    assert file.stat().st_size == description.bytes


def test_csv_and_parquet_of_the_same_data_are_the_same(csv_file: Path, tmp_path: Path) -> None:
    parquet = tmp_path / "t.parquet"
    arrays = {"n": pa.array([1.5, None, 0.0]), "s": pa.array(["x", "y", None]), "b": pa.array([True, False, True])}
    pq.write_table(pa.table(arrays), parquet)
    from_csv, from_parquet = (ingest(path, into=tmp_path / "c") for path in (csv_file, parquet))
    assert from_csv.fingerprint == from_parquet.fingerprint
    for one, other in zip(from_csv.columns, from_parquet.columns, strict=True):
        assert one == other.model_copy(update={"why": one.why})
    assert len(list((tmp_path / "c").iterdir())) == 1


def test_the_worker_reads_what_the_master_wrote(csv_file: Path, tmp_path: Path) -> None:
    description = ingest(csv_file, into=tmp_path)
    table = read_table(tmp_path / f"{description.fingerprint}.parquet", description.fingerprint)
    number = table.columns["n"]
    assert isinstance(number, NumberColumn)
    np.testing.assert_array_equal(number.values, [1.5, np.nan, 0.0])
    assert table.n_rows == 3


_CELLS = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)


@given(
    numbers=st.lists(st.none() | st.floats(allow_nan=False), min_size=3, max_size=9),
    texts=st.lists(_CELLS, min_size=9, max_size=9),
)
def test_any_table_comes_back_and_its_canonical_file_is_a_fixed_point(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[float | None], texts: list[str | None]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    words = [None if t is None else f"t{t}" for t in texts[: len(numbers)]]
    table = pa.table({"n": pa.array(numbers, pa.float64()), "s": pa.array(words, pa.string())})
    pq.write_table(table, folder / "t.parquet")
    first = ingest(folder / "t.parquet", into=folder)
    again = ingest(folder / f"{first.fingerprint}.parquet", into=folder)
    assert again.fingerprint == first.fingerprint
    read_table(folder / f"{first.fingerprint}.parquet", first.fingerprint)
    if not any("\n" in (w or "") or "\r" in (w or "") for w in words):
        pa_csv.write_csv(table, folder / "t.csv")
        assert ingest(folder / "t.csv", into=folder).fingerprint == first.fingerprint


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_sets(name: str, tmp_path: Path) -> None:
    description = ingest(name, into=tmp_path)
    assert description.bundled
    assert description.columns[-1].name == "target"
    assert all(c.kind == "number" and c.n_missing == 0 for c in description.columns)


def test_digits_are_digits(tmp_path: Path) -> None:
    description = ingest("digits", into=tmp_path)
    columns = read_table(tmp_path / f"{description.fingerprint}.parquet").columns
    values = np.stack([c.values for c in columns.values() if isinstance(c, NumberColumn)], axis=1)
    np.testing.assert_array_equal(values, np.column_stack([load_digits().data, load_digits().target]))


def test_a_child_gives_the_same_answer(csv_file: Path, tmp_path: Path) -> None:
    in_child = ingest_in_child(csv_file, into=tmp_path / "child")
    assert in_child == ingest(csv_file, into=tmp_path / "here")
    assert len(list((tmp_path / "child").iterdir())) == 1


def test_a_childs_refusal_is_the_same_typed_error(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1\n")
    with pytest.raises(DatasetUnreadable) as here:
        ingest(path, into=tmp_path)
    with pytest.raises(DatasetUnreadable) as there:
        ingest_in_child(path, into=tmp_path)
    assert (there.value.message, there.value.faults) == (here.value.message, here.value.faults)
    assert there.value.faults[0].code == "ragged_row"


def test_a_child_that_dies_or_hangs_is_a_refusal(csv_file: Path, tmp_path: Path) -> None:
    a_file = tmp_path / "file"
    a_file.write_text("")
    with pytest.raises(DatasetUnreadable) as died:  # the folder for canonical files is a file: the child crashes
        ingest_in_child(csv_file, into=a_file / "below")
    assert died.value.faults[0].code == "reader_died"
    assert "Traceback" not in died.value.message
    with pytest.raises(DatasetUnreadable) as hung:
        ingest_in_child(csv_file, into=tmp_path, timeout_s=0.001)
    assert hung.value.faults[0].code == "too_slow"


def test_a_failed_write_leaves_nothing(csv_file: Path, tmp_path: Path) -> None:
    into = tmp_path / "c"
    description = ingest(csv_file, into=into)
    target = into / f"{description.fingerprint}.parquet"
    target.unlink()
    target.mkdir()  # renaming a file over a folder fails
    with pytest.raises(OSError, match="directory"):
        ingest(csv_file, into=into)
    assert [path.name for path in into.iterdir()] == [target.name]


def test_the_master_imports_neither_pyarrow_nor_scikit_learn_for_its_data() -> None:
    code = (
        "import sys, foldstep.service.data.child, foldstep.service.data.sources, foldstep.service.planner.stages; "
        "print([m for m in ('pyarrow', 'sklearn', 'scipy', 'torch', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
