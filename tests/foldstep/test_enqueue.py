"""`foldstep enqueue`: configurations in files, as the next trials of a search."""

from __future__ import annotations

import json

import numpy as np
import pytest

from foldstep.service.contract.errors import InvalidInput
from foldstep.service.contract.leaderboard import SearchView
from tests.foldstep.conftest import Desk, refused

SPEC = {
    "name": "own", "data": {"dataset": "iris"}, "cv": {"folds": 2}, "method": "random",
    "parameters": {"lr": {"low": 0.001, "high": 0.1}, "hidden": [[8], [8, 4]], "epochs": 2,
                   "optimizer": ["sgd", "adam"], "momentum": {"low": 0, "high": 0.9, "when": {"optimizer": "sgd"}}},
    "budget": {"trials": 6},
}  # fmt: skip


@pytest.fixture
def search(desk: Desk) -> SearchView:
    return desk.master.submit(SPEC)


FILES = {
    "mine.csv": "rank,lr,hidden,optimizer,momentum\n1,0.01,\"[8, 4]\",adam,\n2,0.02,[8],sgd,0.5\n",
    "mine.tsv": "lr\thidden\toptimizer\tmomentum\n0.01\t[8, 4]\tadam\t\n0.02\t[8]\tsgd\t0.5\n",
    "mine.yaml": "- {lr: 0.01, hidden: [8, 4], optimizer: adam}\n"
                 "- {lr: 0.02, hidden: [8], optimizer: sgd, momentum: 0.5}\n",
    "mine.json": '{"configurations": [{"lr": 0.01, "hidden": [8, 4], "optimizer": "adam"},'
                 ' {"lr": 0.02, "hidden": [8], "optimizer": "sgd", "momentum": 0.5}]}',
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files_of_all_kinds(desk: Desk, search: SearchView, name: str) -> None:
    done = desk("enqueue", search.id, desk.write(name, FILES[name]))
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Enqueued as trials 0 to 1 of {search.id}.\n"
    assert ("1 name(s) of no hyperparameter are left out: rank" in done.stderr) == (name == "mine.csv")
    again = desk("enqueue", search.id, name, "--json")
    assert "2 of 2 are trials of the search already" in again.stderr
    reply = json.loads(again.stdout)
    assert [(trial["trial"], trial["is_new"]) for trial in reply["trials"]] == [(0, False), (1, False)]
    assert reply["trials"][1]["params"] == {"lr": 0.02, "hidden": [8], "optimizer": "sgd", "momentum": 0.5, "epochs": 2}


def test_refusals(desk: Desk, search: SearchView) -> None:
    outside = desk.write("outside.csv", "lr,hidden,optimizer\n1.5,[8],adam\n0.01,[9],adam\n")
    done = desk("enqueue", search.id, outside)
    refused(
        done, "configurations.0.lr", "configurations.1.hidden", "begin a search of a wider space", code="invalid_input"
    )
    many = desk.write("many.csv", "lr,optimizer,hidden\n" + "".join(f"0.01{i},adam,[8]\n" for i in range(7)))
    refused(desk("enqueue", search.id, many), "extend it first", code="conflict")
    refused(desk("enqueue", search.id, desk.write("none.csv", "a,b\n1,2\n")), "no configurations", code="invalid_input")
    refused(desk("enqueue", search.id, desk.write("word.yaml", "word")), "a list of mappings", code="invalid_input")
    refused(desk("enqueue", search.id, "nowhere.csv"), "There is no file nowhere.csv", code="invalid_input")
    refused(desk("enqueue", "nowhere", outside), code="not_found")
    with pytest.raises(InvalidInput):
        desk.master.enqueue(search.id, [])


def test_they_are_trained(busy_desk: Desk) -> None:
    search = busy_desk.master.submit(SPEC)
    reply = busy_desk.master.enqueue(search.id, [{"lr": np.float64(0.05), "hidden": [8], "optimizer": "adam"}])
    ended = busy_desk.master.wait(search.id)
    assert sum(ended.counts.values()) == 6
    trial = busy_desk.master.trial(search.id, reply.trials[0].trial)
    assert (trial.params["lr"], trial.state) == (0.05, "completed")
    assert any("enqueued by a user" in note for note in ended.notes)
