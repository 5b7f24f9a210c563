"""The benchmark of quality: fair splits, rows that are measured once, paired differences; a tiny real run."""

from __future__ import annotations

import csv
import gzip
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality import __main__ as quality
from benchmarks.quality import ablation, cases, own, realmlp_oracle, report
from benchmarks.quality.ablation import BASE, changes_by_ingredient
from benchmarks.quality.cases import FILES, Case, File, Table, error_of, files_named, split
from benchmarks.quality.ingredients import Ingredient, read_ablation
from benchmarks.quality.others import Others, limit_of
from benchmarks.quality.results import Results
from foldstep.models.catalog.hyperparameters import REGISTRY
from foldstep.service.contract.defaults import default_parameters
from foldstep.service.contract.parse import parse_spec

MIXED = File("mixed.csv.gz", "y", "classification", 100)
NUMBERS = File("numbers.csv", "y", "regression", 100)


def mixed_table() -> Table:
    random = np.random.default_rng(0)
    rows = [
        [str(i), repr(float(v)), "ab"[i % 2], "yes" if i % 2 else "no"] for i, v in enumerate(random.normal(size=100))
    ]
    return Table(["row", "x", "text", "y"], rows)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two small files, which are the benchmark's."""
    random = np.random.default_rng(0)
    table = mixed_table()
    with gzip.open(tmp_path / MIXED.name, "wt", newline="") as file:
        csv.writer(file).writerows([table.names, *table.rows])
    x = random.normal(size=(100, 2))
    with (tmp_path / NUMBERS.name).open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b", "y"], *np.column_stack([x, x @ [2.0, -1.0]]).tolist()])
    monkeypatch.setattr(cases, "FILES", (NUMBERS, MIXED))
    monkeypatch.setattr(cases, "BUNDLED", ())
    monkeypatch.setattr(report, "FILES", (NUMBERS, MIXED))
    return tmp_path


@pytest.mark.parametrize("sample", [0, 50])
def test_the_test_rows_are_in_no_part_that_a_side_is_given(sample: int) -> None:
    table = mixed_table()
    case = Case(MIXED, sample, 3)
    parts, again, other = split(case, table), split(case, table), split(Case(MIXED, sample, 4), table)
    n = sample or 100
    assert (len(parts.train.rows), len(parts.test.rows)) == (case.n_train, n // 5)
    assert {row[0] for row in parts.train.rows}.isdisjoint(row[0] for row in parts.test.rows)
    assert parts == again != other
    assert parts.test.names == ["row", "x", "text"]
    by_row = {row[0]: row for row in table.rows}
    assert [[*row, y] for row, y in zip(parts.test.rows, parts.truth, strict=True)] == [
        by_row[row[0]] for row in parts.test.rows
    ]


def test_development_splits_lie_inside_the_training_part() -> None:
    table = mixed_table()
    outer, inner = split(Case(MIXED, 0, 1), table), split(Case(MIXED, 0, 1, is_development=True), table)
    rows = {row[0] for part in (inner.train, inner.test) for row in part.rows}
    assert rows == {row[0] for row in outer.train.rows}
    assert len(inner.train.rows) == Case(MIXED, 0, 1, is_development=True).n_train == 64


def test_a_sample_as_large_as_its_file_is_left_out() -> None:
    german = next(file for file in FILES if file.title == "german_credit")
    assert [case.sample for case in cases.cases([german], (0, 300, 1000), 1)] == [0, 300]


def test_errors_are_of_predictions_as_text() -> None:
    assert error_of("regression", ["1.0", "3"], ["2", "3.0"]) == pytest.approx(math.sqrt(0.5))
    assert error_of("classification", ["a", "b", "b", "a"], ["a", "b", "a", "a"]) == 0.25


@pytest.mark.parametrize("n_train", [240, 400, 401, 800, 1500])
def test_the_space_that_was_measured_is_the_default(n_train: int) -> None:
    """Its rows are published as those of what a search without parameters does."""
    measured = own.space_of("foldstep-realmlp", n_train)
    assert measured["parameters"] == default_parameters(n_train)
    assert list(measured["parameters"]) == list(default_parameters(n_train)), "proposals depend on the order"
    assert measured["method"] == parse_spec({"name": "t", "data": {"dataset": "d"}}).method


def test_the_default_side_gives_no_parameters() -> None:
    case = Case(FILES[0], 300, 0)
    spec = parse_spec(own.spec_of(case, own.space_of(own.DEFAULT, case.n_train) | {"budget": {"time": 5}}))
    assert spec.left_out == ["parameters", "cv"]
    assert own.DEFAULT in own.sides()


@pytest.mark.parametrize("side", [side for side in own.sides() if side != own.DEFAULT])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.title)
def test_every_space_is_a_valid_spec_for_every_size(side: str, file: File) -> None:
    for case in cases.cases([file], (0, 300, 1000), 1):
        space = own.space_of(side, case.n_train)
        spec = parse_spec(own.spec_of(case, space | {"budget": {"time": 5}}))
        assert spec.cv.folds == 5
        assert {"epochs", "batch_size"} <= set(space["parameters"]) <= {*REGISTRY, "preset"}


def test_small_tables_get_more_epochs() -> None:
    greatest = [max(own.space_of("foldstep-plain", n)["parameters"]["epochs"]) for n in (240, 800, 4300, 26000)]
    assert greatest == sorted(greatest, reverse=True)
    assert greatest[0] >= 1000


def run(folder: Path, *words: str) -> None:
    shared = ("--data", str(folder), "--results", str(folder / "results.json"), "--samples", "0", "--splits", "2")
    quality.main([*shared, "--sides", "boosting,mlp", *words])


def test_a_row_that_is_there_is_not_measured_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(folder, "--only", "numbers", "--splits", "1")
    first = json.loads((folder / "results.json").read_text())["rows"]
    assert [(row["file"], row["split"], row["side"]) for row in first] == [
        ("numbers", 0, "boosting"), ("numbers", 0, "mlp")
    ]  # fmt: skip
    run(folder)
    stored = json.loads((folder / "results.json").read_text())
    assert stored["rows"][:2] == first
    assert len(stored["rows"]) == 8
    assert all(0 <= row["error"] < 2 and row["time"] > 0 and row["machine"] == 0 for row in stored["rows"])
    assert stored["rows"][0]["versions"].keys() == {"numpy", "scikit-learn"}
    assert stored["machines"][0]["cores"] > 0
    capsys.readouterr()
    run(folder, "--plan")
    assert capsys.readouterr().out.startswith("0 rows are missing")


@pytest.mark.parametrize("side", ["mlp_search", "optuna"])
@pytest.mark.parametrize("file", [NUMBERS, MIXED], ids=lambda file: file.title)
def test_a_side_that_searches_for_a_time_predicts(folder: Path, side: str, file: File) -> None:
    row = {"side": side, "seconds": 4.0}
    found = quality.result_of(Case(file, 0, 0), row, cases.read(file, folder), Others(sys.executable))
    assert found["error"] < {"regression": 2.0, "classification": 0.4}[file.task], "a constant has 2.2, and 0.5"


def test_sides_that_search_have_a_time_of_their_own(folder: Path) -> None:
    assert [limit_of(side, 120) for side in ("foldstep-default", "realmlp", "optuna", "realmlp_search")] == [
        120, None, 120, 1200
    ]  # fmt: skip
    results = Results(folder / "results.json", quality.KEYS, "quality")
    where = {"file": "numbers", "sample": 0, "split": 0}
    for side, seconds, error in ((own.DEFAULT, 120.0, 1.0), ("optuna", 120.0, 3.0), ("optuna", 5.0, 9.0)):
        results.add(where | {"side": side, "seconds": seconds, "error": error})
    told = report.table(results.rows, own.DEFAULT, 120.0)
    assert "| numbers | all | 1 | 1 | 3 (+2) | Foldstep |" in told
    assert "Optuna and PyTorch" in told
    assert "RealMLP" not in told, "a side without a row has no column"


def test_sets_that_scikit_learn_brings_along_need_no_file(tmp_path: Path) -> None:
    (iris,) = files_named("iris", tmp_path)
    table = cases.read(iris, tmp_path)
    assert (table.names[-1], len(table.rows), table.rows[0]) == ("target", 150, ["5.1", "3.5", "1.4", "0.2", "0.0"])
    assert [case.sample for case in cases.cases([iris], (0, 100), 1)] == [0], "no sample of a set so small"


def test_the_winner_of_a_search_predicts_the_test_rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {"epochs": 20, "batch_size": 16, "lr": [0.01, 0.03]}
    monkeypatch.setattr(own, "space_of", lambda *_: {"method": "grid", "cv": {"folds": 2}, "parameters": parameters})
    table = cases.read(MIXED, folder)
    row = {"side": "foldstep-plain", "seconds": 60.0}
    found = quality.result_of(Case(MIXED, 0, 0), row, table, Others(sys.executable))
    assert found["error"] < 0.2, "the text says the class"
    assert found["trials"] == 2
    assert found["winner"]["lr"] in parameters["lr"]


def test_what_there_is_not_is_refused_before_anything_is_trained(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"There is no side forest; --sides takes some of: .*foldstep-plain"):
        run(folder, "--sides", "forest")
    with pytest.raises(SystemExit, match="There is no file cars; --only takes one of: numbers, mixed"):
        run(folder, "--only", "cars")
    (folder / NUMBERS.name).unlink()
    with pytest.raises(SystemExit, match=r"has no numbers\.csv; --data takes"):
        files_named(None, folder)
    with pytest.raises(SystemExit, match="does not run"):
        Others(str(tmp_path / "python")).check(["mlp"])
    with pytest.raises(SystemExit, match="has no packages for: realmlp"):
        Others(sys.executable).check(["mlp", "realmlp"])


def test_differences_are_taken_split_by_split() -> None:
    found = report.difference({0: 1.0, 1: 2.0, 2: 5.0}, {0: 1.5, 1: 2.1, 2: 5.6, 3: 9.0})
    assert found is not None
    assert found.mean == pytest.approx(0.4)
    assert found.error == pytest.approx(np.std([0.5, 0.1, 0.6], ddof=1) / math.sqrt(3))
    assert (found.is_ahead, found.is_behind) == (True, False)
    assert report.difference({0: 1.0}, {1: 2.0}) is None
    behind = report.difference({0: 1.0, 1: 2.0}, {0: 0.5, 1: 1.4})
    assert behind is not None
    assert behind.is_behind


def test_the_report_is_a_table_that_is_replaced(folder: Path) -> None:
    results = Results(folder / "results.json", quality.KEYS, "quality")
    for split_, mine, theirs in ((0, 1.0, 1.5), (1, 2.0, 2.1)):
        where = {"file": "numbers", "sample": 0, "split": split_}
        results.add(where | {"side": "foldstep-realmlp", "seconds": 120.0, "error": mine})
        results.add(where | {"side": "foldstep-realmlp", "seconds": 10.0, "error": 9.0})
        results.add(where | {"side": "realmlp", "seconds": None, "error": theirs})
    page = folder / "page.md"
    page.write_text("# Page\n")
    for _ in range(2):
        quality.main(["--report", "--results", str(folder / "results.json"), "--page", str(page)])
    told = page.read_text()
    assert told.count("| numbers | all | 2 | 1.5 | 1.8 (+0.3 ± 0.2) | Foldstep |") == 1
    assert "Against RealMLP: ahead on 1 of 1, behind by more than a standard error on 0." in told
    assert told.startswith("# Page\n")


def test_an_ingredient_changes_the_base_alone_and_one_that_is_not_there_is_left_out() -> None:
    case = Case(FILES[0], 300, 0, is_development=True)
    listed = read_ablation()
    base, dropout = Ingredient(BASE, 0, {}), Ingredient("dropout", 5, {"dropout": 0.15})
    plain, changed = listed.spec(base, case), listed.spec(dropout, case)
    assert changed["parameters"] == {**plain["parameters"], "dropout": 0.15}
    assert changed == {**plain, "parameters": changed["parameters"]}
    assert listed.spec(base, case, 3.0)["parameters"] == {**plain["parameters"], "lr": 3 * plain["parameters"]["lr"]}
    listed.ingredients[:] = [dropout, Ingredient("other", 1, {"other": 1}), Ingredient("c", 5, {}, "classification")]
    found, lacking = listed.available(case)
    assert ([i.name for i in found], [i.name for i in lacking]) == ([BASE, "dropout"], ["other"])


def test_the_names_of_ingredients_are_unique() -> None:
    names = [ingredient.name for ingredient in read_ablation().ingredients]
    assert len(set(names)) == len(names)


def test_an_ingredients_change_is_in_percent_of_the_base_of_the_same_split() -> None:
    rows = [
        {"file": "a", "sample": 0, "split": split_, "ingredient": name, "point": point, "error": error}
        for split_, name, point, error in ((0, BASE, 0, 2.0), (0, "x", 1, 1.0), (1, BASE, 0, 1.0), (1, "x", 1, 1.1))
    ]
    assert changes_by_ingredient(rows) == {(1, "x"): {"a": [pytest.approx(-50), pytest.approx(10)]}}
    assert "| 1 | x | -20.0 | – | 1 of 1 |" in ablation.table(rows)
    assert "| 1 | x |" not in ablation.table(rows[1:2]), "without a base there is no change"


def test_the_ablation_trains_base_and_ingredient_on_development_rows(folder: Path) -> None:
    words = ("--data", str(folder), "--results", str(folder / "a.json"), "--samples", "0", "--splits", "1")
    ablation.main([*words, "--only", "numbers", "--ingredients", "dropout"])
    rows = json.loads((folder / "a.json").read_text())["rows"]
    assert [row["ingredient"] for row in rows] == [BASE, "dropout"]
    assert all(row["error"] < 1.0 for row in rows), "of a target with a standard deviation of 2.2"
    with pytest.raises(SystemExit, match="There is no ingredient salt"):
        ablation.main([*words, "--ingredients", "salt"])


def test_the_oracle_holds_where_means_differ_by_less_than_the_seeds() -> None:
    rows = [
        {"file": file, "sample": 300, "seed": seed, "side": side, "error": error}
        for file, own_errors in (("a", (1.0, 1.2)), ("b", (2.0, 2.1)))
        for side, errors in ((realmlp_oracle.OWN, own_errors), (realmlp_oracle.ORIGINAL, (1.1, 1.3)))
        for seed, error in enumerate(errors)
    ]
    told = realmlp_oracle.table(rows)
    assert "| a | 300 | 2 | 1.1 | 1.2 | 0.1414 | yes |" in told
    assert "| b | 300 | 2 | 2.05 | 1.2 | 0.1414 | no |" in told
