"""`foldstep export --format`: a search's networks as a model, a graph or a program, run where there is no Foldstep."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import foldstep
from foldstep.committee import chosen_committees
from foldstep.model_export import export_chosen
from foldstep.model_formats import Format
from foldstep.service.contract.choice import Choice, WeighedTrial
from foldstep.service.contract.leaderboard import SearchView, TrialView
from tests.acceptance.processes import foldstep as command
from tests.foldstep.conftest import Desk, refused
from tests.foldstep.predicting import codes_table, lines, predict, trained

BARE = """
import json, sys
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
columns = json.load(sys.stdin)
fed = {one.name: np.array(columns[one.name], dtype=object if one.type == "tensor(string)" else np.float64)
       for one in session.get_inputs()}
label, probabilities = session.run(None, fed)
assert not {"foldstep", "torch"} & set(sys.modules)
print(json.dumps([label.tolist(), probabilities.tolist(), session.get_modelmeta().custom_metadata_map]))
"""
ROWS = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def codes(busy_desk: Desk) -> tuple[SearchView, list[TrialView]]:
    parameters = {"lr": [0.01, 0.02], "width": 8, "epochs": 4, "batch_size": 16, "number_embedding": "pbld"}
    trained(busy_desk, "codes", codes_table(), parameters)
    (search,) = (one for one in busy_desk.master.searches() if one.name == "codes")
    return search, busy_desk.master.all_trials(search.id)


@pytest.fixture(scope="module")
def expected(busy_desk: Desk, codes: tuple[SearchView, list[TrialView]]) -> list[list[str]]:
    folder = busy_desk.folder
    return predict(codes[0].id, lines(*ROWS), folder, "--proba", "--dir", str(folder / "data"))[0]


def test_a_model_is_taken_home(
    busy_desk: Desk, codes: tuple[SearchView, list[TrialView]], expected: list[list[str]], tmp_path: Path
) -> None:
    search, (best, _) = codes
    done = busy_desk("export", "codes", "--format", "foldstep", "--out", "codes.foldstep", "--licence", "MIT")
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"Trial {best.trial} (rank 1) of {search.id}: the mean of the networks of 3 folds.\n"
    assert done.stdout.startswith(f"3 networks of {search.id} in codes.foldstep, ")
    (tmp_path / "home.foldstep").write_bytes((busy_desk.folder / "codes.foldstep").read_bytes())
    (tmp_path / "new.csv").write_text(lines(*ROWS))
    at_home = command("predict", "home.foldstep", "new.csv", "--proba", cwd=tmp_path)
    assert at_home.returncode == 0
    (note,) = at_home.stderr.splitlines()  # the file has the ensemble's temperature
    assert "calibrates these probabilities" in note
    assert list(csv.reader(io.StringIO(at_home.stdout))) == expected
    card = foldstep.load(tmp_path / "home.foldstep").card
    assert (card["search"], card["licence"], card["trials_searched"], card["seed"]) == (search.id, "MIT", 2, 1)
    assert card["spec"]["parameters"]["number_embedding"] == "pbld"
    (member,) = card["members"]
    assert (member["trial"], member["score"], member["folds"]) == (best.trial, best.score, best.folds)
    assert (card["baseline"], card["fingerprint"]) == (search.baseline, search.fingerprint)
    assert card["data"]["rows"] == 120
    assert {column["name"] for column in card["data"]["columns"]} == {"code", "city", "size", "y"}
    with zipfile.ZipFile(tmp_path / "home.foldstep") as archive:
        text = archive.read("card.md").decode()
    assert all(words in text for words in ("# codes", "licence: MIT", "| code | category | 0 |", search.fingerprint))


def test_another_trial(busy_desk: Desk, codes: tuple[SearchView, list[TrialView]], expected: list[list[str]]) -> None:
    _, (_, other) = codes
    words = [
        "export",
        "codes",
        "--format",
        "foldstep",
        "--out",
        "other.foldstep",
        "--trial",
        str(other.trial),
        "--json",
    ]
    done = busy_desk(*words)
    assert json.loads(done.stdout)["trials"] == [other.trial]
    values, _ = predict("other.foldstep", lines(*ROWS), busy_desk.folder, "--proba")
    assert values[0] == expected[0]
    assert values != expected


def test_several_trials_with_weights(busy_desk: Desk, codes: tuple[SearchView, list[TrialView]]) -> None:
    search, trials = codes
    path = busy_desk.folder / "both.foldstep"
    weighed = [WeighedTrial(one, weight, search) for one, weight in zip(trials, (3.0, 1.0), strict=True)]
    with chosen_committees(busy_desk.master, search, Choice(weighed)) as chosen:
        done = export_chosen(busy_desk.master, chosen, Format.FOLDSTEP, path)
    assert done.notes == [f"2 trials of {search.id}: the weighted mean of 6 networks."]
    assert (done.networks, done.trials) == (6, [one.trial for one in trials])
    assert [one["weight"] for one in foldstep.load(path).card["members"]] == [3.0, 1.0]
    folder = ["--dir", str(busy_desk.folder / "data")]
    alone = [
        predict(search.id, lines(*ROWS), busy_desk.folder, "--proba", "--trial", str(one.trial), *folder)[0]
        for one in trials
    ]
    together, _ = predict("both.foldstep", lines(*ROWS), busy_desk.folder, "--proba")
    mean = np.average([np.array(rows[1:], float) for rows in alone], axis=0, weights=[3, 1])
    np.testing.assert_allclose(np.array(together[1:], float), mean, rtol=1e-9)
    assert alone[0] != alone[1]


def test_a_graph_runs_where_there_is_no_foldstep(
    busy_desk: Desk, codes: tuple[SearchView, list[TrialView]], expected: list[list[str]]
) -> None:
    assert codes
    done = busy_desk("export", "codes", "--format", "onnx", "--out", "codes.onnx")
    assert done.returncode == 0, done.stderr
    (note,) = [line for line in done.stderr.splitlines() if "letter by letter" in line]
    assert "code, city" in note
    cells = list(csv.DictReader(io.StringIO(lines(*ROWS))))
    columns = {"code": [row["code"] for row in cells], "city": [row["city"] for row in cells]}
    fed = json.dumps({**columns, "size": [float(row["size"]) for row in cells]})
    argv = [sys.executable, "-c", BARE, str(busy_desk.folder / "codes.onnx")]
    ran = subprocess.run(argv, input=fed, capture_output=True, text=True, check=False, cwd="/")
    assert ran.returncode == 0, ran.stderr
    labels, probabilities, said = json.loads(ran.stdout)
    np.testing.assert_allclose(probabilities, np.array(expected[1:], float), rtol=1e-5)
    assert labels == [int(p[1] > p[0]) for p in probabilities]
    assert json.loads(said["card"])["name"] == "codes"
    assert json.loads(said["notes"]) == [note]


def test_a_program_of_pytorch(
    busy_desk: Desk, codes: tuple[SearchView, list[TrialView]], expected: list[list[str]]
) -> None:
    assert codes
    for kind, name in (("torch", "codes.pt2"), ("foldstep", "for-torch.foldstep")):
        assert busy_desk("export", "codes", "--format", kind, "--out", name).returncode == 0
    model = foldstep.load(busy_desk.folder / "for-torch.foldstep")
    cells = list(csv.DictReader(io.StringIO(lines(*ROWS))))
    inputs = model.inputs({name: [row[name] or None for row in cells] for name in cells[0]})
    texts = {"card.json": ""}
    program = torch.export.load(busy_desk.folder / "codes.pt2", extra_files=texts).module()
    with torch.no_grad():
        for n in (1, 4):
            found = program(*(torch.tensor(matrix[:n]) for matrix in inputs))
            np.testing.assert_allclose(found.numpy(), np.array(expected[1 : n + 1], float), rtol=1e-5)
    assert json.loads(texts["card.json"])["name"] == "codes"


def test_what_cannot_be_exported(busy_desk: Desk, codes: tuple[SearchView, list[TrialView]]) -> None:
    assert codes
    before = sorted(path.name for path in busy_desk.folder.iterdir())
    model = ["export", "codes", "--format", "foldstep", "--out"]
    refused(busy_desk("export", "codes"), "--format foldstep", "--optuna", code="invalid_input")
    refused(busy_desk("export", "codes", "--format", "onnx"), "--out FILE", code="invalid_input")
    refused(busy_desk(*model, "codes.zip"), ".foldstep", code="invalid_input")
    refused(busy_desk(*model, "none/codes.foldstep"), "folder none", code="invalid_input")
    refused(busy_desk(*model, "x.foldstep", "--trial", "77"), "77", code="not_found")
    refused(busy_desk("export", "codes", "--optuna", "sqlite:///s.db", "--trial", "1"), "--trial", code="invalid_input")
    assert sorted(path.name for path in busy_desk.folder.iterdir()) == before
    busy_desk.write("there.foldstep", "mine")
    refused(busy_desk(*model, "there.foldstep"), "--force", code="invalid_input")
    assert busy_desk(*model, "there.foldstep", "--force").returncode == 0
    done = command("predict", "there.foldstep", "codes.csv", "codes.csv", cwd=busy_desk.folder)
    refused(done, "predicts alone", code="invalid_input")
    busy_desk.write("cut.foldstep", "PK\x03\x04")
    refused(command("predict", "cut.foldstep", "codes.csv", cwd=busy_desk.folder), "truncated", code="model_unreadable")
    refused(command("predict", "nothing.foldstep", "codes.csv", cwd=busy_desk.folder), "nothing", code="invalid_input")


def test_a_format_whose_package_is_missing(busy_desk: Desk) -> None:
    code = "import sys; sys.modules['onnx'] = None; from foldstep.cli import main; main()"
    argv = [sys.executable, "-c", code, "export", "codes", "--format", "onnx", "--out", "no.onnx", "--dir", "data"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=busy_desk.folder)
    refused(done, "pip install 'foldstep[onnx]'", code="invalid_input")


def test_a_search_whose_master_has_ended_with_its_data_and_without(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text(codes_table())
    spec = {
        "name": "over", "data": {"dataset": "codes.csv", "target": "y"}, "cv": {"folds": 2}, "method": "random",
        "parameters": {"lr": 0.02, "width": 8, "epochs": 2}, "budget": {"trials": 1},
    }  # fmt: skip
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    assert command("run", "spec.yaml", "--workers", "1", cwd=tmp_path).returncode == 0
    words = ["export", "over", "--format", "foldstep", "--out"]
    assert "Only what" not in command(*words, "with.foldstep", cwd=tmp_path).stderr
    (tmp_path / "codes.csv").unlink()
    without = command(*words, "without.foldstep", cwd=tmp_path)
    assert "Only what the checkpoints say of the data is told here." in without.stderr
    told, less = (foldstep.load(tmp_path / f"{name}.foldstep").card["data"] for name in ("with", "without"))
    assert told["rows"] == less["rows"] == 120
    assert {c["name"]: c["missing"] for c in told["columns"]} == {"code": 0, "city": 40, "size": 0, "y": 0}
    assert {c["name"]: c["missing"] for c in less["columns"]} == dict.fromkeys(("code", "city", "size", "y"))
