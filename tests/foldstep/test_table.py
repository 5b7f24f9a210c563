"""`foldstep run TABLE`: a table alone is searched, and --print-spec writes the spec that does the same."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldstep.service.contract.parse import load_text, parse_spec
from tests.acceptance.processes import foldstep
from tests.foldstep.conftest import refused
from tests.foldstep.test_run import table


def printed(folder: Path, *words: str) -> dict[str, Any]:
    done = foldstep("run", *words, "--print-spec", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "No parameters were given" in done.stderr
    found: dict[str, Any] = load_text(done.stdout)
    parse_spec(found)
    return found


def trials(folder: Path, *words: str) -> dict[int, dict[str, Any]]:
    done = foldstep("run", *words, "--workers", "1", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return {row["trial"]: row["params"] for row in json.loads(done.stdout)}


def test_the_printed_spec_searches_the_same_trials_as_the_table_alone(tmp_path: Path) -> None:
    table(tmp_path)
    words = ("table.csv", "--target", "target", "--time", "2s")
    done = foldstep("run", *words, "--print-spec", cwd=tmp_path)
    (tmp_path / "saved.yaml").write_text(done.stdout)
    assert not list((tmp_path / "foldstep-data" / "checkpoints").glob("*/*")), "nothing is trained"
    alone = trials(tmp_path, *words, "--dir", "alone")
    saved = trials(tmp_path, "saved.yaml", "--dir", "saved")
    both = alone.keys() & saved.keys()
    assert {0, 1, 2, 3} <= both
    assert {n: alone[n] for n in both} == {n: saved[n] for n in both}
    assert alone[0]["batch_size"] in (32, 64, 256)


def test_every_key_is_written_out_and_the_data_as_they_were_named(tmp_path: Path) -> None:
    table(tmp_path)
    spec = printed(tmp_path, "./table.csv", "--target", "target", "--metric", "roc_auc")
    assert spec["name"] == "table"
    assert spec["data"] == {"dataset": "./table.csv", "target": "target", "task": "classification"}
    assert (spec["metric"], spec["cv"], spec["budget"]) == (
        {"name": "roc_auc"}, {"folds": 5, "repeats": 2}, {"time": 120}
    )  # fmt: skip
    assert {"preset", "lr", "hidden", "epochs", "activation"} <= set(spec["parameters"])


def test_bundled_sets_and_parquet_by_any_name_are_tables(tmp_path: Path) -> None:
    assert printed(tmp_path, "iris")["data"]["target"] == "target"
    draw = random.Random(0)
    columns = {name: [draw.random() for _ in range(40)] for name in "abc"}
    pq.write_table(pa.table(columns), tmp_path / "some.data")
    assert printed(tmp_path, "some.data", "--target", "b")["metric"] == {"name": "rmse"}
    several = printed(tmp_path, "some.data", "--target", "b", "--target", "a")
    assert (several["data"]["target"], several["metric"]) == (["b", "a"], {"name": "r2"})


def test_a_spec_without_parameters_is_printed_whole(tmp_path: Path) -> None:
    (tmp_path / "short.yaml").write_text("name: short\ndata: {dataset: wine}\nbudget: {trials: 3}\n")
    spec = printed(tmp_path, "short.yaml")
    assert (spec["name"], spec["budget"], spec["metric"]) == ("short", {"trials": 3}, {"name": "log_loss"})


def test_the_target_is_asked_for_not_guessed(tmp_path: Path) -> None:
    table(tmp_path)
    done = foldstep("run", "table.csv", cwd=tmp_path)
    refused(done, "size, colour, is_new, weight, target; for the last one: --target target.", code="invalid_input")
    done = foldstep("run", "table.csv", "--target", "colur", "--json", cwd=tmp_path)
    refused(done, "data.target", "did you mean colour?", code="spec_invalid")


@pytest.mark.parametrize(
    ("words", "key"),
    [(("--target", "y"), "data.target"), (("--metric", "rmse"), "metric"), (("--time", "5m"), "budget")],
)
def test_what_is_for_a_table_is_refused_beside_a_spec(tmp_path: Path, words: tuple[str, ...], key: str) -> None:
    (tmp_path / "wine.yaml").write_text("name: wine\ndata: {dataset: wine}\n")
    done = foldstep("run", "wine.yaml", *words, cwd=tmp_path)
    refused(done, f"{words[0]} is for a table; wine.yaml is taken as a spec: write it there, as {key}.",
            code="invalid_input")  # fmt: skip
    assert not (tmp_path / "foldstep-data").exists()


def test_what_cannot_be_a_table_is_refused_in_a_sentence(tmp_path: Path) -> None:
    table(tmp_path)
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04 xl/workbook.xml")
    refused(
        foldstep("run", "book.xlsx", "--target", "y", "--json", cwd=tmp_path),
        "an Excel workbook",
        code="dataset_unreadable",
    )
    refused(foldstep("run", "tabel.csv", "--target", "y", cwd=tmp_path), "did you mean table.csv?",
            code="invalid_input")  # fmt: skip
    done = foldstep("run", "table.csv", "--target", "target", "--time", "soon", "--json", cwd=tmp_path)
    refused(done, "budget.time", "write seconds, or 90s, 10m, 2h", code="spec_invalid")
    done = foldstep("run", "table.csv", "--target", "target", "--metric", "acuracy", "--json", cwd=tmp_path)
    refused(done, "metric.name", "accuracy", code="spec_invalid")


def test_a_time_that_is_too_short_ends_with_the_baseline(tmp_path: Path) -> None:
    """A quarter of a million rows: their first epoch takes longer than the millisecond that the search has."""
    draw = random.Random(0)
    rows = (f"{draw.random():.3f},{draw.random():.3f},{draw.choice('ab')}" for _ in range(250_000))
    (tmp_path / "long.csv").write_text("\n".join(["x,z,y", *rows]) + "\n")
    done = foldstep("run", "long.csv", "--target", "y", "--time", "1ms", "--workers", "1", cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    text = " ".join(done.stdout.split())
    assert "20 % of 250,000 rows are held out, as there are at least 50,000" in text
    assert "The time was over before a trial had its first epoch." in text
    assert f"the constant answer, whose log_loss is {math.log(2):.4f}" in text
    assert "--time 2m" in text
