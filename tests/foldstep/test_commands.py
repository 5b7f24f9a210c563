"""The commands that ask a master, each as a process, against what the master itself says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from foldstep.client import Foldstep
from foldstep.models.compiled.library import library
from tests.acceptance.processes import foldstep, new_home
from tests.foldstep.conftest import Desk, refused

SPEC: dict[str, Any] = {
    "name": "asked",
    "method": "coarse_to_fine",
    "data": {"dataset": "iris"},
    "cv": {"folds": 2},
    "parameters": {"lr": {"low": 1e-4, "high": 1e-3, "log": True}, "width": 8, "batch_size": 16},
    "metric": "log_loss",
    "stages": [{"epochs": 4, "trials": 13}, {"epochs": 5, "trials": 3}],
}
ENDLESS = {**SPEC, "name": "endless", "method": "random", "stages": [], "budget": {"trials": 100_000}}


def text(spec: dict[str, Any]) -> str:
    return str(yaml.safe_dump(spec))


@pytest.fixture(scope="module")
def search(busy_desk: Desk) -> str:
    """A search that `submit --watch` saw to its end."""
    done = busy_desk("submit", "-", "--watch", stdin=text(SPEC))
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    (found,) = [s for s in busy_desk.master.searches() if s.name == "asked"]
    assert f"{found.id}: completed, 16 trials." in words
    assert f"{found.id} is submitted; " in words
    assert "· stage 2 of 2 ·" in words
    assert "Best checkpoint: " in words
    return found.id


def test_searches_lists_all(busy_desk: Desk, search: str) -> None:
    done = busy_desk("searches")
    (line,) = [line for line in done.stdout.splitlines() if search in line]
    assert "completed" in line
    assert "16/16" in line
    listed = json.loads(busy_desk("searches", "--json").stdout)
    assert [s["id"] for s in listed] == [s.id for s in busy_desk.master.searches()]


def test_leaderboard_is_the_masters(busy_desk: Desk, search: str) -> None:
    page = busy_desk.master.leaderboard(search, limit=3)
    done = busy_desk("leaderboard", search, "--limit", "3")
    for row in page.rows:
        assert any(f" {row.trial} " in line and f"{row.score:.5f}" in line for line in done.stdout.splitlines())
    assert json.loads(busy_desk("leaderboard", search, "--limit", "3", "--json").stdout) == page.model_dump(mode="json")


def test_leaderboard_tells_of_borders(busy_desk: Desk, search: str) -> None:
    sentences = [b.sentence for stage in busy_desk.master.search(search).stages for b in stage.borders]
    assert sentences, "the range ends far below every good learning rate"
    shown = " ".join(busy_desk("leaderboard", search).stdout.split())
    assert all(s in shown for s in sentences)


def test_show_search_and_trial(busy_desk: Desk, search: str) -> None:
    shown = " ".join(busy_desk("show", search).stdout.split())
    assert "16 of 16 trials" in shown
    best = busy_desk.master.search(search).best
    assert best is not None
    shown = busy_desk("show", search, str(best.trial)).stdout
    for name, value in best.params.items():
        assert name in shown
        assert isinstance(value, float) or str(value) in shown
    assert all(f"{f:.5f}" in shown for f in best.folds if f is not None)
    as_json = json.loads(busy_desk("show", search, str(best.trial), "--json").stdout)
    seen = busy_desk.master.diagnostics(search, best.trial)
    assert as_json == {**best.model_dump(mode="json"), "diagnostics": seen.model_dump(mode="json")}
    assert all(d.sentence.split(":")[0] in " ".join(shown.split()) for d in seen.diagnoses)
    assert set(seen.folds) == set(range(len(best.folds)))


def test_histograms(busy_desk: Desk, search: str) -> None:
    best = busy_desk.master.search(search).best
    assert best is not None
    words = ("histograms", search, str(best.trial))
    here = new_home(busy_desk.folder / "home")
    counted = json.loads(busy_desk(*words, "--epochs", "1,2", "--json", HOME=here).stdout)["histograms"]
    assert {(h["fold"], h["epoch"]) for h in counted} == {(f, e) for f in range(len(best.folds)) for e in (1, 2)}
    assert {h["what"] for h in counted} == {"activations", "gradients"}
    assert all(len(h["counts"]) == 24 and sum(h["counts"]) > 0 and h["low"] <= h["high"] for h in counted)
    shown = busy_desk(*words, HOME=here).stdout
    assert f"after epoch {best.epochs}" in shown
    assert "█" in shown
    refused(busy_desk(*words, "--epochs", "1,99"), "epochs", "99", code="invalid_input")


def test_histograms_of_a_pruned_trial_end_where_it_was_pruned(busy_desk: Desk) -> None:
    stopping = {"rungs": "asha", "min_epochs": 3, "race_folds": True}
    raced = {**ENDLESS, "name": "raced", "cv": {"folds": 3}, "budget": {"trials": 12}, "early_stop": stopping}
    parameters = {"lr": {"low": 1e-5, "high": 1e-1, "log": True}, "width": 8, "batch_size": 16, "epochs": 9}
    begun = busy_desk.master.submit({**raced, "parameters": parameters}).id
    assert busy_desk.master.wait(begun).state == "completed"
    pruned = next(t for t in busy_desk.master.all_trials(begun) if t.state == "pruned" and len(t.folds) < 3)
    assert (pruned.epoch, len(pruned.folds)) == (3, 1)
    words = ("histograms", begun, str(pruned.trial))
    here = new_home(busy_desk.folder / "home")
    counted = json.loads(busy_desk(*words, "--json", HOME=here).stdout)["histograms"]
    assert {(h["fold"], h["epoch"]) for h in counted} == {(0, 1), (0, 3)}
    refused(busy_desk(*words, "--epochs", "4", HOME=here), "from 1 to 3", code="invalid_input")


def test_pause_resume_stop(busy_desk: Desk) -> None:
    begun = json.loads(busy_desk("submit", "-", "--json", stdin=text(ENDLESS)).stdout)["id"]
    for verb, state in (("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
        done = busy_desk(verb, begun)
        assert done.stdout.startswith(f"{begun} is {state}.")
        assert busy_desk.master.search(begun).state == state
    again = busy_desk("resume", begun)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("illegal_transition: ")


def test_extend(busy_desk: Desk) -> None:
    small = {**ENDLESS, "name": "small", "budget": {"trials": 2}}
    begun = json.loads(busy_desk("submit", "-", "--json", stdin=text(small)).stdout)["id"]
    busy_desk.master.wait(begun)
    done = busy_desk("extend", begun, "--trials", "3")
    assert done.stdout.startswith(f"{begun} is running."), done.stderr
    assert busy_desk.master.wait(begun).trials == 5
    refused(busy_desk("extend", begun), "more trials, more time", code="invalid_input")
    refused(busy_desk("extend", begun, "--time", "soon"), "time", "soon", code="invalid_input")


def test_a_file_from_anywhere_is_taken_along(busy_desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "far.csv").write_text("x,y\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(20)))
    spec = {**SPEC, "name": "sent", "data": {"dataset": str(tmp_path / "far.csv"), "target": "y"}}
    done = busy_desk("submit", "-", "--watch", "--json", stdin=text(spec))
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 16
    assert "far.csv" in {d.name for d in busy_desk.master.datasets()}


def test_datasets_add_and_list(busy_desk: Desk) -> None:
    name = busy_desk.write("mine.csv", "x,colour,y\n1,red,0.5\n2,,1.5\n3,blue,2.5\n")
    done = busy_desk("datasets", "add", "mine", name)
    assert done.stdout.startswith("mine: 3 rows, 3 columns, ")
    assert busy_desk("datasets", "add", "mine", name).returncode == 0, "the same again changes nothing"
    (line,) = [line for line in busy_desk("datasets", "list").stdout.splitlines() if "mine.csv" in line]
    assert " 3 " in line
    listed = json.loads(busy_desk("datasets", "list", "--json").stdout)
    assert {"mine"} <= {d["name"] for d in listed}


def test_watched_search_without_a_winner_ends_with_3(busy_desk: Desk) -> None:
    hopeless = {**ENDLESS, "budget": {"trials": 2}, "parameters": {"lr": 1e30, "optimizer": "sgd", "depth": 3}}
    done = busy_desk("submit", "-", "--watch", "--json", stdin=text(hopeless))
    assert done.returncode == 3
    assert {(r["state"], r["rank"], r["score"]) for r in json.loads(done.stdout)} == {("diverged", None, None)}


def test_url_and_token_come_from_options_or_environment(busy_desk: Desk, search: str, tmp_path: Path) -> None:
    url, token = busy_desk.master.url, (busy_desk.folder / "data/token").read_text().strip()
    by_options = foldstep("searches", "--url", url, "--token-file", str(busy_desk.folder / "data/token"), cwd=tmp_path)
    by_input = foldstep("searches", "--url", url, "--token-file", "-", cwd=tmp_path, stdin=f"{token}\n")
    by_environment = foldstep("searches", cwd=tmp_path, FOLDSTEP_URL=url, FOLDSTEP_TOKEN=token)
    assert search in by_options.stdout
    assert by_options.stdout == by_input.stdout == by_environment.stdout


def test_doctor(busy_desk: Desk, tmp_path: Path) -> None:
    well = busy_desk("doctor")
    assert well.returncode == 0
    assert "torch: there" in well.stdout
    assert "compiled backend: there" in well.stdout
    gain = "faster here" if library().has_tiles else "no gain here"
    assert f"precision bfloat16: {gain}" in well.stdout
    assert f"master at {busy_desk.master.url}" in well.stdout
    assert well.stdout.endswith(", 1 live worker\n")
    alone = foldstep("doctor", cwd=tmp_path)
    assert alone.returncode == 1
    assert "No master serves" in alone.stdout
    without = foldstep("doctor", cwd=tmp_path, CXX="no-such-compiler")
    assert "no-such-compiler was not found" in " ".join(without.stdout.split())
    assert "precision bfloat16: no gain here" in without.stdout


def test_upgrade_makes_a_database_that_the_master_takes(tmp_path: Path) -> None:
    for _ in range(2):
        done = foldstep("upgrade", "--dir", "new", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, "The database is at this version.\n")
    assert (tmp_path / "new" / "foldstep.db").stat().st_size > 0


def test_reader_that_goes_away_is_no_fault(busy_desk: Desk, search: str) -> None:
    """`foldstep … | head -1`: the pipe is closed before everything is written."""
    pipe = f"set -o pipefail; {sys.executable} -m foldstep leaderboard {search} --json --dir data | head -c 1"
    done = subprocess.run(
        ["bash", "-c", pipe], cwd=busy_desk.folder, env={**os.environ}, capture_output=True, text=True, check=False
    )
    assert done.stdout == "{"
    assert done.stderr == ""
    reader, writer = os.pipe()
    os.close(reader)
    closed = subprocess.run(
        [sys.executable, "-m", "foldstep", "searches", "--json", "--dir", "data"],
        cwd=busy_desk.folder, stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writer)
    assert closed.stderr == ""
    assert closed.returncode != 0


def test_delete_over_the_python_client(busy_desk: Desk) -> None:
    master: Foldstep = busy_desk.master
    begun = master.submit({**ENDLESS, "budget": {"trials": 1}})
    master.wait(begun.id)
    assert Path(begun.checkpoint_dir).exists()
    master.delete(begun.id)
    assert begun.id not in {s.id for s in master.searches()}
    assert not Path(begun.checkpoint_dir).exists()
