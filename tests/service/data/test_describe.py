"""What becomes of each column, and what is odd about a table."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldstep.service.contract.dataset import Finding
from foldstep.service.data.ingest import ingest
from tests.service.data.tables import codes, csv_of, describe

N = 60
OTHER = [str(i * 7919 % 101 / 7) for i in range(N)]
FOUND: dict[str, tuple[str, list[str], str, str]] = {
    "an index": ("", list(map(str, range(N))), "index", "index"),
    "an index of pandas": ("Unnamed: 0", list(map(str, range(N))), "index", "index"),
    "an index saved twice": ("Unnamed: 0.1", list(map(str, range(N))), "index", "index"),
    "an index of readr": ("...1", list(map(str, range(1, N + 1))), "index", "index"),
    "names of rows": ("", [f"r{i}" for i in range(N)], "index", "index"),
    "a named index": ("index", list(map(str, range(N))), "number", "identifier"),
    "an identifier": ("customer_id", [str(i * 7919 % 10007) for i in range(N)], "number", "identifier"),
    "names": ("name", [f"n{i}" for i in range(N)], "category", "identifier"),
    "a constant": ("x", ["7"] * N, "constant", "constant"),
    "nothing": ("x", ["", "NA"] * (N // 2), "empty", "empty"),
    "-999": ("x", [*map(str, range(N - 4)), *["-999"] * 4], "number", "sentinel"),
    "9 on a scale of five": ("x", [*"12345"] * 11 + ["9"] * 5, "number", "sentinel"),
    "-200 of any digits": ("x", [str(i % 40 / 10) for i in range(N - 5)] + ["-200"] * 5, "number", "sentinel"),
    "9999-12-31": ("x", [f"2024-01-{i % 28 + 1:02d}" for i in range(N - 3)] + ["9999-12-31"] * 3, "date", "sentinel"),
    "days of a spreadsheet": ("Date", [str(44927 + i % 50) for i in range(N)], "number", "serial_dates"),
    "texts that differ in case": ("x", ["yes", "Yes", "no"] * 20, "category", "spellings"),
}  # fmt: skip


def findings_about(name: str, findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {f.code: f for f in findings if name in f.columns and f.code not in ("unnamed_column", "same_column")}


@pytest.mark.parametrize(("name", "cells", "fate", "code"), FOUND.values(), ids=FOUND)
def test_what_becomes_of_a_column(tmp_path: Path, name: str, cells: list[str], fate: str, code: str) -> None:
    description = describe(tmp_path, csv_of({name: cells, "other": OTHER}))
    column = description.columns[0]
    assert column.fate == fate
    assert set(findings_about(column.name, description.findings)) == {code}


def test_what_a_sentinel_is_called_makes_it_missing(tmp_path: Path) -> None:
    dates = [f"{i % 28 + 1:02d}.01.2024" for i in range(N - 3)] + ["31.12.9999"] * 3
    numbers = [f"{i}.5" for i in range(N - 4)] + ["-999.0"] * 4
    content = csv_of({"d": dates, "n": numbers})
    found = [f for f in describe(tmp_path, content).findings if f.code == "sentinel"]
    assert [f.setting for f in found] == ['data.missing: ["31.12.9999"]', 'data.missing: ["-999"]']
    assert "-999 in 4 rows, far from all others (0.5 to 55.5)" in found[1].sentence
    assert all(f.is_warning for f in found)
    settled = describe(tmp_path, content, missing=["31.12.9999", "-999"])
    assert "sentinel" not in codes(settled)
    assert [c.n_missing for c in settled.columns] == [3, 4]


ORDINARY: dict[str, list[str]] = {
    "zeros before a gap": [str(0 if i % 3 else 100 + 9 * i) for i in range(N)],
    "two values": [str(i % 2 * 99) for i in range(N)],
    "counts": [str(i * i % 13) for i in range(N)],
    "one far value": [*map(str, [i % 20 for i in range(N - 1)]), "9999"],
    "ages": [str(20 + i * 7 % 50) for i in range(N)],
}


@pytest.mark.parametrize("cells", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_columns_have_no_finding(tmp_path: Path, cells: list[str]) -> None:
    description = describe(tmp_path, csv_of({"x": cells, "other": OTHER}))
    assert findings_about("x", description.findings) == {}


def test_rows_that_repeat_are_counted_and_a_warning_only_where_that_is_odd(tmp_path: Path) -> None:
    odd = describe(tmp_path, csv_of({"x": [str(i % 50 / 7) for i in range(N)], "z": OTHER[:50] + OTHER[:10]}))
    [finding] = [f for f in odd.findings if f.code == "repeated_rows"]
    assert finding.is_warning
    assert finding.sentence.startswith("10 rows repeat another row in every column (17 % of all)")
    plain = describe(tmp_path, csv_of({"x": [*"ab"] * 30, "z": [*"aab"] * 20}))
    [finding] = [f for f in plain.findings if f.code == "repeated_rows"]
    assert not finding.is_warning


def test_copies_of_a_column_are_named(tmp_path: Path) -> None:
    texts = [f"t{i % 3}" for i in range(N)]
    content = csv_of({"a": OTHER, "b": OTHER, "c": texts, "d": [t.upper() for t in texts]})
    sentences = [f.sentence for f in describe(tmp_path, content).findings if f.code == "same_column"]
    assert sentences == ["b has the same values as a in every row.", "d tells the same as c in every row."]


def test_many_texts_are_said_with_counts(tmp_path: Path) -> None:
    cells = [f"t{i % 200 if i % 2 else 0}" for i in range(4000)]
    description = describe(tmp_path, csv_of({"x": cells, "z": [str(i / 7) for i in range(4000)]}))
    [finding] = [f for f in description.findings if f.code == "rare_categories"]
    assert finding.sentence == (
        "x has 101 different texts: the 64 commonest have inputs of their own, the other 37 (in 740 rows) share one."
    )


def test_tables_of_columns_that_are_settled_have_no_findings(tmp_path: Path) -> None:
    table = pa.table({"x": pa.array([i / 7 for i in range(N)]), "c": pa.array([f"c{i % 3}" for i in range(N)])})
    pq.write_table(table, tmp_path / "t.parquet")
    assert ingest(tmp_path / "t.parquet", into=tmp_path).findings == ()


def test_infinite_numbers_are_counted(tmp_path: Path) -> None:
    cells = ["inf" if i % 9 == 0 else f"{i * 0.7:.1f}" for i in range(45)]
    found = describe(tmp_path, csv_of({"a": cells, "y": [str(i % 2) for i in range(45)]})).findings
    assert [f.sentence for f in found if f.code == "infinite"] == [
        "a: 5 cells are infinite or beyond 1e+150, and counted as missing when it is a feature."
    ]
