"""`foldstep check`, and the gate as the command line has it, by real processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from foldstep.service.contract.checks import CheckReport
from foldstep.service.contract.states import SearchState
from tests.acceptance.processes import Processes, foldstep, new_home, until
from tests.foldstep.conftest import Desk, refused

NAMES = ["initial_loss", "regularisation", "overfit", "gradients", "labels"]
SOUND: dict[str, Any] = {
    "name": "sound", "data": {"dataset": "wine"}, "cv": {"folds": 3}, "budget": {"trials": 3},
    "parameters": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}, "activation": ["relu", "tanh"], "epochs": 3},
}  # fmt: skip
UNSOUND = {
    **SOUND, "name": "unsound", "method": "random",
    "parameters": {"lr": 1e-30, "activation": ["relu", "tanh", "elu"], "epochs": 3},
}  # fmt: skip
BEFORE = {"checks": {"before": True}}


def written(folder: Path, spec: dict[str, Any]) -> str:
    (folder / f"{spec['name']}.yaml").write_text(yaml.safe_dump(spec))
    return f"{spec['name']}.yaml"


def without_time(text: str) -> list[Any]:
    report = json.loads(text)
    assert report["duration_s"] > 0
    return list(report["results"])


def test_check_without_a_master_brings_one_along(tmp_path: Path) -> None:
    done = foldstep("check", written(tmp_path, SOUND), cwd=tmp_path, HOME=new_home(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name in done.stdout for name in NAMES)
    assert done.stdout.count("passed") == len(NAMES)
    assert "Checks before the search" in done.stdout


def test_the_notes_on_a_spec_are_said_but_not_in_json(tmp_path: Path) -> None:
    spec = written(tmp_path, {**SOUND, "parameters": {**SOUND["parameters"], "momentum": 0.5, "optimizer": "adam"}})
    done = foldstep("check", spec, cwd=tmp_path, HOME=new_home(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "momentum has no effect" in " ".join(done.stdout.split())
    assert without_time(foldstep("check", spec, "--json", cwd=tmp_path, HOME=new_home(tmp_path)).stdout)


def test_check_with_a_file_beside_the_spec_and_an_address_left_by_a_dead_master(tmp_path: Path) -> None:
    rows = "".join(f"{i % 7},{i % 5},{'yes' if i % 7 > 3 else 'no'}\n" for i in range(120))
    (tmp_path / "table.csv").write_text(f"a,b,answer\n{rows}")
    (tmp_path / "foldstep-data").mkdir()
    (tmp_path / "foldstep-data/address").write_text("http://127.0.0.1:9\n")
    (tmp_path / "foldstep-data/token").write_text("left-behind-token\n")
    spec = {**SOUND, "data": {"dataset": "table.csv", "target": "answer"}}
    done = foldstep("check", written(tmp_path, spec), "--json", cwd=tmp_path, HOME=new_home(tmp_path))
    assert done.returncode == 0, done.stderr + done.stdout
    assert [r["name"] for r in without_time(done.stdout)] == NAMES


def test_failed_checks_end_with_3_and_name_what_to_look_at(desk: Desk) -> None:
    done = desk("check", written(desk.folder, {**UNSOUND, "name": "unsubmitted"}), HOME=new_home(desk.folder))
    assert done.returncode == 3, done.stderr
    text = " ".join(done.stdout.replace("│", " ").split())
    assert "overfit failed" in text
    assert "Look at lr" in text
    assert "unsubmitted" not in {search.name for search in desk.master.searches()}, "nothing is submitted"


def test_the_report_is_that_of_the_gate_and_the_same_every_time(busy_desk: Desk) -> None:
    spec = written(busy_desk.folder, {**SOUND, **BEFORE})
    one, two = (busy_desk("check", spec, "--json", HOME=new_home(busy_desk.folder)) for _ in range(2))
    assert without_time(one.stdout) == without_time(two.stdout)
    search = busy_desk.master.submit({**SOUND, **BEFORE}).id
    found = busy_desk.master.wait(search)
    assert found.state is SearchState.COMPLETED
    assert found.checks is not None
    assert found.checks.model_dump(mode="json")["results"] == without_time(one.stdout)
    shown = busy_desk("show", search).stdout
    assert all(name in shown for name in NAMES)


def test_a_spec_with_faults_is_refused(desk: Desk) -> None:
    spec = written(desk.folder, {**SOUND, "name": "faulty", "method": "magic"})
    refused(desk("check", spec), "method", code="spec_invalid")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "ftp://nowhere"])
def test_a_master_that_is_named_and_not_there_is_a_refusal(desk: Desk, url: str) -> None:
    done = desk("check", written(desk.folder, SOUND), "--url", url)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_failed_checks_stop_a_run_unless_it_is_forced(tmp_path: Path) -> None:
    spec = written(tmp_path, {**UNSOUND, **BEFORE})
    done = foldstep("run", spec, "--workers", "1", cwd=tmp_path)
    text = " ".join(done.stdout.replace("│", " ").split())
    assert done.returncode == 3, done.stderr
    assert "The checks before the search failed. overfit:" in text
    assert "--force" in text
    assert ": failed, 0 trials." in text
    forced = foldstep("run", spec, "--workers", "1", "--force", cwd=tmp_path)
    assert forced.returncode == 0, forced.stdout
    assert ": completed, 3 trials." in " ".join(forced.stdout.split())
    assert "in spite of failed checks" in " ".join(forced.stdout.split())


def test_submit_can_be_forced(busy_desk: Desk) -> None:
    spec = written(busy_desk.folder, {**UNSOUND, **BEFORE})
    done = busy_desk("submit", spec, "--force", "--watch")
    assert done.returncode == 0, done.stdout
    (newest, *_) = busy_desk.master.searches()
    assert busy_desk.master.spec(newest.id)["checks"] == {"before": True, "force": True}


def test_a_worker_that_is_killed_while_it_checks_is_replaced(processes: Processes) -> None:
    _, master = processes.master(FOLDSTEP_LEASE_TTL_S="2")
    doomed = processes.worker(master, "doomed")
    many = {"activation": ["relu", "tanh", "gelu", "elu", "silu"], "norm": ["none", "batch", "layer"], "depth": [3, 4]}
    slow = {**SOUND, **BEFORE, "parameters": {**SOUND["parameters"], **many}}
    search = master.submit(slow).id
    until(lambda: master.search(search).started_at is not None, "the lease to check")
    doomed.kill()
    assert master.search(search).checks is None, "it was killed before it had reported"
    processes.worker(master, "next")
    found = master.wait(search)
    assert found.state is SearchState.COMPLETED
    assert isinstance(found.checks, CheckReport)
    assert found.checks.passed


def test_data_that_is_gone_ends_the_search_and_does_not_hang_it(processes: Processes) -> None:
    _, master = processes.master()
    rows = "".join(f"{i},{i % 2}\n" for i in range(40))
    (processes.folder / "lost.csv").write_text(f"x,y\n{rows}")
    dataset = master.upload_dataset("lost", processes.folder / "lost.csv")
    search = master.submit({**SOUND, **BEFORE, "data": {"dataset": "lost", "target": "y"}}).id
    (processes.data_dir / "datasets" / f"{dataset.description.fingerprint}.parquet").unlink()
    worker = processes.worker(master)
    found = master.wait(search)
    assert found.state is SearchState.FAILED
    assert "Look at the data folder of the master" in found.notes[-1]
    other = master.submit({**SOUND, **BEFORE}).id
    assert master.wait(other).state is SearchState.COMPLETED, "the worker goes on"
    assert worker.poll() is None
