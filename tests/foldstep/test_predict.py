"""`foldstep predict`: the checkpoint's kinds are imposed on any file; searches, columns carried through, files."""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldstep.committee import as_files, search_committees
from foldstep.service.contract.leaderboard import SearchView, TrialView
from tests.acceptance.processes import foldstep
from tests.foldstep.conftest import Desk, refused
from tests.foldstep.predicting import FEW, amounts_table, codes_table, lines, predict, trained


@pytest.fixture(scope="module")
def codes(busy_desk: Desk) -> list[Path]:
    return trained(busy_desk, "codes", codes_table())


def test_quantiles_have_a_column_each_and_never_cross(busy_desk: Desk, tmp_path: Path) -> None:
    parameters = {**FEW, "loss": "quantile", "lr": 0.3, "epochs": 1}  # far from having learned, so that outputs cross
    models = trained(busy_desk, "spread", amounts_table(), parameters, quantiles=[0.2, 0.5, 0.9], weight="w")
    (header, *rows), _ = predict(models, lines(1, 2, 3, 4), tmp_path)
    assert header == ["y_0.2", "y_0.5", "y_0.9"]
    said = np.array(rows, float)
    assert said.shape == (4, 3)
    assert (np.diff(said) >= 0).all()


def test_a_row_is_read_alone_as_it_is_among_others(codes: list[Path], tmp_path: Path) -> None:
    """What a column of one file looks like does not matter: digits alone, all missing, one row, none."""
    (header, *together), _ = predict(codes, lines(1, 2, 3, 4), tmp_path, "--proba")
    assert header == ["0", "1"]
    for numbers in ([1], [2], [2, 4], [3]):
        (_, *some), done = predict(codes, lines(*numbers), tmp_path, "--proba")
        assert done.stderr == ""
        expected = np.array([together[i - 1] for i in numbers], float)
        assert np.array(some, float) == pytest.approx(expected, rel=1e-5)
    assert predict(codes, lines(), tmp_path, "--proba")[0] == [["0", "1"]]
    assert predict(codes, lines(), tmp_path)[0] == [["y"]]


def test_standard_input_and_parquet(codes: list[Path], tmp_path: Path) -> None:
    expected, _ = predict(codes, lines(1, 2, 3, 4), tmp_path)
    piped = foldstep("predict", *map(str, codes), "-", cwd=tmp_path, stdin=lines(1, 2, 3, 4))
    assert (piped.returncode, piped.stderr) == (0, "")
    cells = list(csv.DictReader(io.StringIO(lines(1, 2, 3, 4))))
    columns: dict[str, list[Any]] = {name: [row[name] or None for row in cells] for name in ("code", "city")}
    pq.write_table(pa.table({**columns, "size": [float(row["size"]) for row in cells]}), tmp_path / "new.parquet")
    from_parquet = foldstep("predict", *map(str, codes), "new.parquet", cwd=tmp_path)
    with (tmp_path / "new.parquet").open("rb") as file:
        argv = [sys.executable, "-m", "foldstep", "predict", *map(str, codes), "-"]
        piped_parquet = subprocess.run(argv, stdin=file, capture_output=True, text=True, check=True)
    for done in (piped, from_parquet, piped_parquet):
        assert list(csv.reader(io.StringIO(done.stdout))) == expected, done.stderr


def test_cells_that_do_not_fit_are_missing_and_counted(codes: list[Path], tmp_path: Path) -> None:
    stray = "code,city,size\nA1,Ulm,-\nB2,Bonn,0.1\n12,Ulm,big\n34,Ulm,big\n"
    values, done = predict(codes, stray, tmp_path, "--proba")
    empty, quiet = predict(codes, stray.replace(",-", ",").replace(",big", ","), tmp_path, "--proba")
    assert values == empty
    assert quiet.stderr == ""
    (note,) = done.stderr.splitlines()
    assert note.startswith("3 cells do not fit their column and count as missing: size (3: ")
    assert "'-'" in note
    assert "'big'" in note


def test_unknown_categories_are_counted(codes: list[Path], tmp_path: Path) -> None:
    new = "code,city,size\nA1,Paris,0.3\nZ9,Paris,0.1\n12,A1,0.2\n"
    values, done = predict(codes, new, tmp_path)
    assert len(values) == 4
    (note,) = done.stderr.splitlines()
    assert note == (
        "4 cells have a category that the training data did not have, or too rarely to learn from: "
        "code (1: 'Z9'), city (3: 'A1', 'Paris')."
    )


def test_columns_that_are_not_there_are_named(codes: list[Path], tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("Code,town,sise\nA1,Ulm,1\n")
    done = foldstep("predict", *map(str, codes), "new.csv", cwd=tmp_path)
    head, *faults = done.stderr.splitlines()
    refused(
        done,
        "code: expected a column of that name",
        "did you mean 'Code'?",
        "did you mean 'sise'?",
        code="invalid_input",
    )
    assert head.startswith("3 faults")
    assert len(faults) == 3
    (tmp_path / "new.csv").write_text("code,town,size,y\nA1,Ulm,1,0\n")
    done = foldstep("predict", *map(str, codes), "new.csv", cwd=tmp_path)
    refused(done, "lacks columns of the training data: city. It has code, town, size, y.", code="invalid_input")
    (tmp_path / "new.csv").write_text(lines(1))
    done = foldstep("predict", *map(str, codes), "new.csv", "--id", "row_id", cwd=tmp_path)
    refused(done, "--id", "row_id", code="invalid_input")


def test_other_columns_and_the_target_may_be_there(codes: list[Path], tmp_path: Path) -> None:
    expected, _ = predict(codes, lines(1, 3), tmp_path)
    values, done = predict(codes, "y,size,more,code,city\n?,0.4,x,A1,Ulm\n7,0.1,y,B2,Bonn\n", tmp_path)
    assert (values, done.stderr) == (expected, "")


def test_columns_are_carried_through_as_they_are_written(codes: list[Path], tmp_path: Path) -> None:
    new = 'nr,code,city,size,name\n007,A1,Ulm,0.40,"Doe, ""J"""\n,12,,-0.3,\n1e5,B2,Bonn, 0.1 ,NA\n'
    predicted, _ = predict(codes, new, tmp_path)
    values, _ = predict(codes, new, tmp_path, "--id", "nr", "--id", "name", "--id", "nr")
    assert values[0] == ["nr", "name", "y"]
    assert [row[:2] for row in values[1:]] == [["007", 'Doe, "J"'], ["", ""], ["1e5", "NA"]]
    assert [row[2:] for row in values] == predicted


def test_a_name_that_is_taken(codes: list[Path], tmp_path: Path) -> None:
    values, done = predict(codes, "code,city,size,y\nA1,Ulm,0.4,1\n", tmp_path, "--id", "y")
    assert values[0] == ["y", "predicted_y"]
    assert values[1][0] == "1"
    assert done.stderr == "The column y is carried through, so the prediction is called predicted_y.\n"


def test_out_writes_a_whole_file_or_none(codes: list[Path], tmp_path: Path) -> None:
    shown, _ = predict(codes, lines(1, 2, 3), tmp_path, "--id", "code", "--proba")
    for name in ("out.csv", "out.parquet"):
        _, done = predict(codes, lines(1, 2, 3), tmp_path, "--id", "code", "--proba", "--out", name)
        assert (done.stdout, done.stderr) == ("", f"3 rows in {name}.\n")
    assert list(csv.reader(io.StringIO((tmp_path / "out.csv").read_text()))) == shown
    written = pq.read_table(tmp_path / "out.parquet")
    assert written.column_names == shown[0]
    assert written.column("code").to_pylist() == ["A1", "12", "B2"]
    assert written.column("1").to_pylist() == [float(row[2]) for row in shown[1:]], "every digit is printed"
    (tmp_path / "new.csv").write_text("code,city\nA1,Ulm\n")
    words = ["predict", *map(str, codes), "new.csv", "--out"]
    before = sorted(path.name for path in tmp_path.iterdir())
    refused(foldstep(*words, "failed.csv", cwd=tmp_path), "size", code="invalid_input")
    refused(foldstep(*words, "out.csv", cwd=tmp_path), "out.csv", "--force", code="invalid_input")
    refused(foldstep(*words, "out.xlsx", cwd=tmp_path), ".csv or .parquet", code="invalid_input")
    refused(foldstep(*words, "none/out.csv", cwd=tmp_path), "folder none", code="invalid_input")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    predict(codes, lines(1), tmp_path, "--out", "out.csv", "--force")
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "y"


def test_options_that_do_not_go_together(codes: list[Path], tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(lines(1))
    words = ["predict", *map(str, codes), "new.csv"]
    refused(foldstep(*words, "--trial", "1", cwd=tmp_path), "--trial", code="invalid_input")
    refused(foldstep(*words, "--weighted", cwd=tmp_path), "--proba", code="invalid_input")
    refused(foldstep(*words, "--force", cwd=tmp_path), "--out", code="invalid_input")
    refused(foldstep("predict", str(codes[0]), "nothing.csv", cwd=tmp_path), "nothing.csv", code="invalid_input")


def labelled(labels: Sequence[str], n: int = 90) -> str:
    """A table whose classes a number tells; they come in turn."""
    rng = random.Random(5)
    rows = [f"{labels.index(label) + rng.gauss(0, 0.1):.3f},{label}" for label in (list(labels) * n)[:n]]
    return "\n".join(["x,y", *rows]) + "\n"


@pytest.mark.parametrize(
    "labels",
    [
        ("False", "True"),
        ("FALSE", "TRUE"),
        ("0", "1"),
        ("no", "yes"),
        ("9007199254740992", "9007199254740993", "9007199254740994"),
        ("-1", "1", "2.5"),
        ("007", "008"),
    ],
)
def test_classes_are_written_as_in_the_training_file(busy_desk: Desk, labels: tuple[str, ...], tmp_path: Path) -> None:
    """Booleans in their own words, whole numbers beyond 2^53 apart from each other, codes with their zeros."""
    name = f"labels{labels[0]}{len(labels)}"
    quick = {"lr": 0.05, "width": 8, "epochs": 20, "batch_size": 16}
    files = trained(busy_desk, name, labelled(labels), quick, task="classification")
    values, done = predict(files, "x\n" + "".join(f"{i}\n" for i in range(len(labels))), tmp_path)
    assert values == [["y"], *([label] for label in labels)]
    assert predict(files, "x\n0\n", tmp_path, "--proba")[0][0] == list(labels)
    assert done.stderr == ""


def test_dates_of_one_row_are_dates(busy_desk: Desk, tmp_path: Path) -> None:
    """The order of day and month is the training file's, though a new row could be read either way."""
    rng = random.Random(6)
    days = [f"{rng.randint(1, 28):02d}/{rng.randint(1, 12):02d}/{rng.randint(2001, 2020)}" for _ in range(120)]
    table = "day,y\n" + "".join(f"{day},{'late' if int(day[3:5]) > 6 else 'early'}\n" for day in days)
    quick = {"lr": 0.03, "width": 16, "epochs": 30, "batch_size": 16}
    files = trained(busy_desk, "dated", table, quick)
    for day, part in (("02/11/2010", "late"), ("11/02/2010", "early"), ("2010-11-02", "late")):
        values, done = predict(files, f"day\n{day}\n", tmp_path)
        assert (values, done.stderr) == ([["y"], [part]], "")
    _, done = predict(files, "day\n02/11/2010\nsoon\n", tmp_path)
    assert done.stderr == "1 cell does not fit its column and counts as missing: day (1: 'soon').\n"


def test_a_file_in_the_encoding_of_the_training_data(busy_desk: Desk, tmp_path: Path) -> None:
    """Windows-1250 looks like Windows-1252; what `data.encoding` said goes with the checkpoint. UTF-8 is read, too."""
    rng = random.Random(7)
    rows = [f"{city},{'north' if city == 'Łódź' else 'south'}" for city in rng.choices(["Łódź", "Gdańsk"], k=90)]
    (busy_desk.folder / "cities.csv").write_bytes("\n".join(["miasto,y", *rows, ""]).encode("windows-1250"))
    quick = {"lr": 0.05, "width": 8, "epochs": 10, "batch_size": 16}
    files = trained(busy_desk, "cities", None, quick, encoding="windows-1250")
    for encoding in ("windows-1250", "utf-8"):
        (tmp_path / "new.csv").write_bytes("miasto\nGdańsk\nŁódź\n".encode(encoding))
        done = foldstep("predict", *map(str, files), "new.csv", "--id", "miasto", cwd=tmp_path)
        assert (done.stdout, done.stderr) == ("miasto,y\nGdańsk,south\nŁódź,north\n", "")


def of_search(desk: Desk, codes: list[Path]) -> tuple[SearchView, list[TrialView]]:
    (search,) = (one for one in desk.master.searches() if one.name == "codes")
    assert codes[0].parent == Path(search.checkpoint_dir)
    return search, desk.master.all_trials(search.id)


def test_a_search_predicts_by_its_ensemble_or_by_one_trial(busy_desk: Desk, codes: list[Path], tmp_path: Path) -> None:
    search, trials = of_search(busy_desk, codes)
    options = ["--proba", "--dir", str(busy_desk.folder / "data")]
    alone = {}
    for trial in trials:
        files = [Path(search.checkpoint_dir) / name for name in trial.checkpoints]
        values, done = predict(search.id, lines(1, 2, 3), tmp_path, *options, "--trial", str(trial.trial))
        assert values == predict(files, lines(1, 2, 3), tmp_path, "--proba")[0]
        assert f"Predicted with trial {trial.trial} (rank {trial.rank}) of {search.id}: the mean of" in done.stderr
        alone[trial.trial] = np.array(values[1:], float)
    found = busy_desk.master.ensemble(search.id)
    assert found is not None
    (_, *values), done = predict(search.id, lines(1, 2, 3), tmp_path, *options)
    expected = sum(member.weight * alone[member.trial] for member in found.members)
    assert np.array(values, float) == pytest.approx(expected, rel=1e-6)
    n = len(found.members)
    assert (f"{n} trials of {search.id}" if n > 1 else f"trial {found.winner}") in done.stderr


def test_what_is_no_checkpoint_and_no_search(busy_desk: Desk, codes: list[Path], tmp_path: Path) -> None:
    search, _ = of_search(busy_desk, codes)
    (tmp_path / "new.csv").write_text(lines(1))
    folder = ["--dir", str(busy_desk.folder / "data")]
    done = foldstep("predict", "nonsense-1", "new.csv", *folder, cwd=tmp_path)
    refused(done, "nonsense-1 is no checkpoint file, and no search", code="not_found")
    done = foldstep("predict", search.id, "new.csv", *folder, "--trial", "77", cwd=tmp_path)
    refused(done, "77", code="not_found")
    done = foldstep("predict", str(codes[0]), search.id, "new.csv", *folder, cwd=tmp_path)
    refused(done, f"no checkpoint file {search.id}", code="invalid_input")
    done = foldstep("predict", str(codes[0].parent), "new.csv", *folder, cwd=tmp_path)
    refused(done, "is a folder", code="invalid_input")
    refused(foldstep("predict", search.id, "new.csv", cwd=tmp_path), "foldstep serve", code="unavailable")
    assert as_files([str(codes[0])]) == [codes[0]]


def test_checkpoints_of_another_machine_are_downloaded(busy_desk: Desk, codes: list[Path]) -> None:
    search, _ = of_search(busy_desk, codes)
    away = Path(search.checkpoint_dir).with_name("away")

    class Remote(type(busy_desk.master)):  # type: ignore[misc]
        """A client of a master whose folder is not on this machine."""

        def search(self, search: str) -> SearchView:
            view: SearchView = super().search(search)
            return view.model_copy(update={"checkpoint_dir": str(away)})

    remote = Remote(busy_desk.master.url, (busy_desk.folder / "data/token").read_text().strip())
    with search_committees(remote, search.id) as chosen:
        paths = chosen.committees[0].checkpoints
        assert [path.name for path in paths] == [path.name for path in codes]
        assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in codes]
        assert paths[0].parent not in (away, codes[0].parent)
    assert not paths[0].exists()
    remote.close()


def test_a_search_whose_master_has_ended(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text(codes_table())
    spec = {
        "name": "over", "data": {"dataset": "codes.csv", "target": "y"}, "cv": {"folds": 2}, "method": "random",
        "parameters": FEW, "budget": {"trials": 1},
    }  # fmt: skip
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    assert foldstep("run", "spec.yaml", "--workers", "1", cwd=tmp_path).returncode == 0
    (folder,) = (tmp_path / "foldstep-data/checkpoints").iterdir()
    expected, _ = predict(sorted(folder.iterdir()), lines(1, 2), tmp_path)
    assert predict(folder.name, lines(1, 2), tmp_path)[0] == expected


def test_prediction_needs_no_torch() -> None:
    code = "import sys, foldstep.prediction; sys.exit(bool({'torch', 'scipy', 'sklearn'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
