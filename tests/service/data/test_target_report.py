"""What is said of a target: copies of it among the features, unequal classes, a long tail."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldstep.service.contract.columns import NumberColumn, category_column
from foldstep.service.contract.dataset import Finding
from foldstep.service.contract.errors import NotFound
from foldstep.service.data.target_report import column_in, report, target_findings
from tests.service.data.tables import csv_of, describe

N = 400
RANDOM = np.random.Generator(np.random.Philox(key=7))
NUMBERS = np.exp(RANDOM.normal(size=N))
CLASSES = RANDOM.integers(0, 3, N)
NOISE = RANDOM.normal(size=N)


def words(values: Any) -> Any:
    labels = sorted({str(v) for v in values})
    return category_column(np.array([labels.index(str(v)) for v in values]), labels)


def findings(folder: Path, target: Any, **features: Any) -> list[Finding]:
    arrays = {
        name: pa.array(column.values if isinstance(column, NumberColumn) else [column.labels[c] for c in column.codes])
        for name, column in {"y": target, **features}.items()
    }
    pq.write_table(pa.table(arrays), folder / "t.parquet")
    return list(target_findings("y", partial(column_in, pq.ParquetFile(folder / "t.parquet")), list(features)))


LEAKS: dict[str, tuple[Any, Any, bool]] = {
    "twice and one more": (NumberColumn(NUMBERS), NumberColumn(2 * NUMBERS + 1), True),
    "its logarithm": (NumberColumn(NUMBERS), NumberColumn(np.log(NUMBERS)), True),
    "falling": (NumberColumn(NUMBERS), NumberColumn(-(NUMBERS**3)), True),
    "with gaps": (NumberColumn(NUMBERS), NumberColumn(np.where(np.arange(N) % 20, NUMBERS, np.nan)), True),
    "hardly there": (NumberColumn(NUMBERS), NumberColumn(np.where(np.arange(N) % 20, np.nan, NUMBERS)), False),
    "a constant": (NumberColumn(NUMBERS), NumberColumn(np.full(N, 3.0)), False),
    "noise": (NumberColumn(NUMBERS), NumberColumn(NOISE), False),
    "much noise on it": (NumberColumn(NUMBERS), NumberColumn(np.log(NUMBERS) + NOISE), False),
    "a copy as text": (words(CLASSES), words(CLASSES * 7), True),
    "a number for each class": (words(CLASSES), NumberColumn(CLASSES * 0.5 + 3), True),
    "a text for each class of numbers": (NumberColumn(CLASSES * 1.0), words(CLASSES), True),
    "chance": (words(CLASSES), words(RANDOM.integers(0, 3, N)), False),
    "identifiers": (words(CLASSES), NumberColumn(np.arange(N) * 1.0), False),
}


@pytest.mark.parametrize(("target", "feature", "is_leak"), LEAKS.values(), ids=LEAKS)
def test_copies_of_the_target_are_named(tmp_path: Path, target: Any, feature: Any, is_leak: bool) -> None:
    found = [f for f in findings(tmp_path, target, x=feature) if f.code == "leak"]
    assert [(f.columns, f.is_warning, f.setting) for f in found] == [(("x",), True, "data.ignore: [x]")] * is_leak


@pytest.mark.parametrize(
    ("counts", "share"),
    [([94, 6], "0.94"), ([70, 30], None), ([50, 50], None), ([45, 20, 15, 20], None), ([900, *[10] * 10], "0.9")],
)
def test_unequal_classes_are_said_with_the_constant_answer(
    tmp_path: Path, counts: list[int], share: str | None
) -> None:
    target = words(np.repeat(np.arange(len(counts)), counts))
    found = [f for f in findings(tmp_path, target) if f.code == "unequal_classes"]
    assert [f"accuracy {share}." in f.sentence for f in found] == ([] if share is None else [True])


@pytest.mark.parametrize(
    ("values", "side"),
    [(np.exp(2 * NOISE), "high"), (-np.exp(2 * NOISE), "low"), (NOISE, None), (np.full(N, 2.5), None)],
)
def test_a_long_tail_is_said(tmp_path: Path, values: Any, side: str | None) -> None:
    found = [f for f in findings(tmp_path, NumberColumn(values)) if f.code == "long_tail"]
    assert [f"a long tail of {side} values" in f.sentence for f in found] == ([] if side is None else [True])


def test_a_report_on_a_file_and_on_a_column_that_there_is_not(tmp_path: Path) -> None:
    content = csv_of({"x": [f"{v:.6f}" for v in NUMBERS], "copy": [f"{2 * v:.6f}" for v in NUMBERS]})
    description = describe(tmp_path, content)
    file = tmp_path / "canonical" / f"{description.fingerprint}.parquet"
    found = report(description, file, ["x"]).target
    assert found is not None
    assert "leak" in {f.code for f in found.findings}
    assert report(description, file, []).target is None
    with pytest.raises(NotFound, match="did you mean copy"):
        report(description, file, ["copi"])


UNUSABLE: dict[str, tuple[list[str], list[str]]] = {
    "rows without a class": (["NA", "DE", "FR"] * 20, ["y has no value in 20 rows"]),
    "one value": (["5"] * 60, ["y has the same value in every row that has one"]),
    "dates": ([f"2024-01-{i % 28 + 1:02d}" for i in range(60)], ["y is dates"]),
    "an infinite one": (["inf", *(f"{i * 0.37:.2f}" for i in range(59))], ["y has an infinite value"]),
    "a good one": ([f"{i * 0.37:.2f}" for i in range(60)], []),
}


@pytest.mark.parametrize(("cells", "told"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_target_that_will_be_refused_is_told_beforehand(tmp_path: Path, cells: list[str], told: list[str]) -> None:
    description = describe(tmp_path, csv_of({"x": [f"{(i * 37) % 61 * 0.3:.1f}" for i in range(60)], "y": cells}))
    found = report(description, tmp_path / "canonical" / f"{description.fingerprint}.parquet", ["y"]).target
    assert found is not None
    sentences = [f.sentence for f in found.findings if f.code == "unusable_target"]
    assert sentences == [f"{reason}: a search with this target will be refused." for reason in told]
