"""The data that a user means are those that are searched: sent, told, and asked about once they change."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from foldstep.service.contract.leaderboard import SearchView
from tests.acceptance.processes import WAIT_S, Processes, foldstep, new_home
from tests.foldstep.conftest import Desk, refused


def table(n_rows: int) -> str:
    return "x,z,y\n" + "".join(f"{i},{i % 5},{'ab'[i % 2]}\n" for i in range(n_rows))


def spec(folder: Path, dataset: str, **change: Any) -> str:
    whole = {
        "name": "right", "data": {"dataset": dataset, "target": "y"}, "cv": {"folds": 2}, "budget": {"trials": 2},
        "parameters": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}, "epochs": 1, "width": 8}, **change,
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / "spec.yaml").write_text(yaml.safe_dump(whole))
    return str(folder / "spec.yaml")


def submitted(desk: Desk, spec_file: str) -> SearchView:
    done = desk("submit", spec_file, "--json")
    assert done.returncode == 0, done.stderr
    return SearchView.model_validate_json(done.stdout)


def data_of(search: SearchView) -> str:
    return search.notes[0]


def in_terminal(*words: str, cwd: Path, typed: str = "") -> tuple[int, str]:
    """Run a command on a terminal of its own, type a line once it asks, and return its exit code and what it showed."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "foldstep", *words]
    child = subprocess.Popen(
        argv, cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    )
    os.close(theirs)
    shown, deadline = "", time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                shown += os.read(ours, 1 << 16).decode(errors="replace")
            except OSError:  # the terminal's other end is closed
                break
        if typed and "[new/old/quit]" in shown:
            os.write(ours, f"{typed}\n".encode())
            typed = ""
    os.close(ours)
    return child.wait(WAIT_S), shown


# -- submit --------------------------------------------------------------------------------------------------------


def test_the_file_beside_the_spec_is_sent_and_told(desk: Desk, tmp_path: Path) -> None:
    desk.write("twin.csv", table(12))  # what the master would find under that path
    (tmp_path / "twin.csv").write_text(table(20))
    done = desk("submit", spec(tmp_path, "twin.csv"))
    assert done.returncode == 0, done.stderr
    dataset = desk.master.dataset("twin.csv")
    facts = dataset.description
    assert (facts.n_rows, facts.source) == (20, "twin.csv")
    told = "Data: twin.csv: 20 rows, 3 columns, target y, fingerprint"
    assert f"{told} {facts.fingerprint[:12]}." in " ".join(done.stdout.split())
    sha256 = hashlib.sha256((tmp_path / "twin.csv").read_bytes()).hexdigest()
    stored = desk.folder / "data" / "files" / sha256
    sent_at = stored.stat().st_mtime_ns
    again = submitted(desk, str(tmp_path / "spec.yaml"))
    assert (again.dataset, again.fingerprint) == ("twin.csv", facts.fingerprint)
    assert stored.stat().st_mtime_ns == sent_at, "it is not sent twice"
    there = submitted(desk, spec(tmp_path, "master:twin.csv"))
    assert data_of(there).startswith("Data: master:twin.csv: 12 rows, 3 columns, target y, fingerprint ")


def test_other_content_under_the_same_name_gets_a_longer_one(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(table(20))
    first = submitted(desk, spec(tmp_path, "mine.csv"))
    (tmp_path / "mine.csv").write_text(table(22))
    second = submitted(desk, spec(tmp_path, "mine.csv"))
    sha256 = hashlib.sha256((tmp_path / "mine.csv").read_bytes()).hexdigest()
    assert (first.dataset, second.dataset) == ("mine.csv", f"mine-{sha256[:8]}.csv")
    assert data_of(second).startswith(f"Data: mine-{sha256[:8]}.csv (from mine.csv): 22 rows, ")
    assert desk.master.dataset("mine.csv").description.fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("file_name", "name"),
    [("Häuser März.csv", "Hauser-Marz.csv"), ("iris", "iris"), ("-.csv", "csv"), ("日本", "table")],
)
def test_names_of_files_become_names_of_data_sets(desk: Desk, tmp_path: Path, file_name: str, name: str) -> None:
    (tmp_path / file_name).write_text(table(24))
    assert submitted(desk, spec(tmp_path, f"./{file_name}")).dataset.startswith(name)


def test_names_that_the_master_knows_stay(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "far.csv").write_text(table(26))
    desk.master.upload_dataset("near", tmp_path / "far.csv")
    assert data_of(submitted(desk, spec(tmp_path, "near"))).startswith("Data: near (from far.csv): 26 rows")
    (tmp_path / "iris").write_text(table(20))
    iris = submitted(desk, spec(tmp_path, "iris", data={"dataset": "iris"}))
    assert data_of(iris).startswith("Data: iris: 150 rows, 5 columns, target target, ")


def test_a_file_that_nobody_has_is_refused_with_where_it_was_looked_for(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "houses.csv").write_text(table(20))
    done = desk("submit", spec(tmp_path, "huoses.csv"))
    places = f"{tmp_path} or {desk.folder}"
    refused(done, "data.dataset", places, "houses.csv", "master:huoses.csv", code="dataset_unreadable")
    (tmp_path / "folder").mkdir()
    refused(desk("submit", spec(tmp_path, "folder")), "folder, which is a folder", code="dataset_unreadable")


def test_a_spec_with_faults_is_refused_before_anything_is_sent(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "unsent.csv").write_text(table(28))
    done = desk("submit", spec(tmp_path, "unsent.csv", cv={"folds": 1}, budget={"trials": 0}))
    refused(done, "cv.folds", "budget.trials", "2 faults", code="spec_invalid")
    sha256 = hashlib.sha256((tmp_path / "unsent.csv").read_bytes()).hexdigest()
    assert not desk.master.has_file(sha256)


def test_a_file_that_is_sent_is_shown_as_a_bar_on_a_terminal(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "large.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(400_000)))
    words = ("submit", spec(tmp_path, "large.csv"), "--dir", "data")
    exit_code, shown = in_terminal(*words, cwd=desk.folder)
    assert exit_code == 0, shown
    assert "Sending large.csv" in shown
    assert "━" in shown
    assert "Sending" not in in_terminal(*words, cwd=desk.folder)[1], "it is there already"


def test_check_sends_the_file_to_a_running_master(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "checked.csv").write_text(table(40))
    done = foldstep("check", spec(tmp_path, "checked.csv"), "--dir", "data", cwd=desk.folder, HOME=new_home(tmp_path))
    assert done.returncode in (0, 3), done.stderr
    assert desk.master.dataset("checked.csv").description.n_rows == 40


# -- datasets ------------------------------------------------------------------------------------------------------


def test_replaced_data_are_told_and_a_search_trains_on_those_that_it_began_with(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        _, master = processes.master()
        desk = Desk(tmp_path, processes, master)
        desk.write("old.csv", table(20))
        desk.write("new.csv", table(34))
        assert desk("datasets", "add", "mine", "old.csv").returncode == 0
        taken = desk("datasets", "add", "mine", "new.csv")
        refused(taken, "20 rows, 3 columns", "datasets replace mine FILE", code="name_taken")
        begun = submitted(desk, spec(tmp_path, "mine"))
        done = desk("datasets", "replace", "mine", "new.csv")
        assert done.returncode == 0, done.stderr
        was, now, keeps = done.stdout.splitlines()
        assert was == f"mine was 20 rows, 3 columns, {begun.fingerprint[:12]}"
        assert now == f"mine is now 34 rows, 3 columns, {master.dataset('mine').description.fingerprint[:12]}"
        assert keeps == "Searches that have begun keep the data that they began with."
        assert desk("datasets", "replace", "mine", "new.csv").stdout.endswith("The data are the same.\n")
        refused(desk("datasets", "replace", "other", "new.csv"), "other", code="not_found")
        refused(desk("datasets", "replace", "mine", "none.csv"), "none.csv", code="invalid_input")
        refused(desk("datasets", "delete", "mine"), "add --yes", code="invalid_input")
        assert desk("datasets", "delete", "mine", "--yes").returncode == 0
        refused(desk("datasets", "delete", "mine"), "mine", code="not_found")
        assert json.loads(desk("datasets", "list", "--json").stdout) == []
        processes.worker(master)
        ended = master.wait(begun.id)
        assert (ended.state, ended.fingerprint) == ("completed", begun.fingerprint), processes.logs()
        assert master.work(begun.id, 0).problem.n_rows == 20


# -- run again -----------------------------------------------------------------------------------------------------


class Home:
    """A folder with a spec, its table, and a search of it that was begun and not finished."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = spec(folder, "table.csv")
        (folder / "table.csv").write_text(table(20))
        self.begun = self._begin()
        (folder / "table.csv").write_text(table(30))

    def _begin(self) -> str:
        with Processes(self.folder) as processes:
            _, master = processes.master(FOLDSTEP_DATA_ROOTS=str(self.folder))
            content = yaml.safe_load(Path(self.spec).read_text())
            content["data"]["dataset"] = str(self.folder / "table.csv")  # as `run` submits it
            return master.submit(content).id

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return foldstep("run", self.spec, "--dir", "data", "--workers", "1", *words, cwd=self.folder)

    def searches(self) -> dict[str, tuple[str, int]]:
        """State and number of rows of every search."""
        with Processes(self.folder) as processes:
            _, master = processes.master()
            return {s.id: (s.state.value, _n_rows(s)) for s in master.searches()}


def _n_rows(search: SearchView) -> int:
    return int(data_of(search).partition(": ")[2].partition(": ")[2].partition(" rows")[0])


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def refused_by_run(home: Home, *names: str) -> None:
    """Assert that `run` said what it was doing, and then refused with a conflict."""
    done = home.run()
    assert done.stdout.splitlines()[-1] == "Reading the data and checking the spec"
    done.stdout = ""
    refused(done, *names, code="conflict")


def test_run_refuses_to_guess_when_the_data_changed(home: Home) -> None:
    refused_by_run(home, home.begun, "--new", "--old-data")
    assert home.searches() == {home.begun: ("queued", 20)}, "nothing is trained on the old data meanwhile"
    wrong = home.run("--new", "--old-data")
    assert wrong.returncode == 2
    assert "exclude each other" in wrong.stderr
    (home.folder / "table.csv").write_text("nothing to learn from\n")
    refused_by_run(home, home.begun, "--new", "--old-data")
    (home.folder / "table.csv").write_text(table(20))
    assert home.run().returncode == 0
    assert home.searches() == {home.begun: ("completed", 20)}, "the data are as they were: it resumes"


def test_old_data_resumes_the_search_with_the_data_that_it_began_with(home: Home) -> None:
    done = home.run("--old-data")
    assert done.returncode == 0, done.stderr
    assert home.searches() == {home.begun: ("completed", 20)}


def test_new_begins_a_new_search_and_pauses_the_other_one(home: Home) -> None:
    done = home.run("--new")
    assert done.returncode == 0, done.stderr
    assert f"{home.begun} is paused" in done.stderr
    states = home.searches()
    assert states.pop(home.begun) == ("paused", 20)
    assert list(states.values()) == [("completed", 30)]


@pytest.mark.parametrize(
    ("answer", "exit_code", "expected"),
    [("old", 0, [("completed", 20)]), ("new", 0, [("completed", 30), ("paused", 20)]), ("quit", 1, [("queued", 20)])],
)
def test_run_asks_on_a_terminal(home: Home, answer: str, exit_code: int, expected: list[tuple[str, int]]) -> None:
    code, shown = in_terminal("run", home.spec, "--dir", "data", "--workers", "1", cwd=home.folder, typed=answer)
    assert code == exit_code, shown
    assert f"The data changed since the unfinished search {home.begun} began." in shown
    assert sorted(home.searches().values()) == expected, "nothing is trained before the answer"
