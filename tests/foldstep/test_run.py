"""`foldstep run`: a table in, a leaderboard out; interrupted at any time, the same command goes on to the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
import yaml

from foldstep.client import Foldstep
from tests.acceptance.processes import WAIT_S, foldstep, until


def table(folder: Path, *, is_regression: bool = False, n: int = 120) -> Path:
    """Numbers, text, booleans and missing values in all their spellings; the target follows from the first two."""
    rng = random.Random(3)
    lines = ["size,colour,is_new,weight,target"]
    for i in range(n):
        size, colour = rng.uniform(-1, 1), rng.choice(["red", "green", "blue", "dark blue"])
        value = 2 * size + (colour == "red") + rng.gauss(0, 0.1)
        shown_colour = colour if i % 11 else "NA"
        weight = rng.choice(["", "?", "nan", "3.5", "-1"])
        target = f"{value:.4f}" if is_regression else ("good" if value > 0.3 else "bad")
        lines.append(f"{size:.4f},{shown_colour},{str(i % 3 == 0).lower()},{weight},{target}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder / "table.csv"


def spec(folder: Path, **change: Any) -> str:
    whole = {
        "name": "small", "method": "random", "seed": 2, "data": {"dataset": "table.csv", "target": "target"},
        "cv": {"folds": 3}, "budget": {"trials": 3},
        "parameters": {"lr": {"low": 1e-2, "high": 1e-1, "log": True}, "width": [8, 16], "epochs": 15,
                       "batch_size": 16},
        **change,
    }  # fmt: skip
    (folder / "spec.yaml").write_text(yaml.safe_dump(whole))
    return "spec.yaml"


def test_a_time_budget_that_ends_amid_the_first_trials_keeps_what_they_have(tmp_path: Path) -> None:
    """Every trial would train for hours: none comes to its end, those in training are ranked, the best kept."""
    table(tmp_path)
    long = {"lr": {"low": 1e-3, "high": 1e-2, "log": True}, "width": 8, "epochs": 1_000_000, "batch_size": 16}
    file = spec(tmp_path, parameters=long, budget={"time": "3s"})
    done = foldstep("run", file, "--workers", "1", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [row for row in json.loads(done.stdout) if row["rank"] is not None]
    assert rows
    assert {row["state"] for row in rows} == {"pruned"}
    kept = {path.name for path in (tmp_path / "foldstep-data" / "checkpoints").rglob("*.safetensors")}
    assert len(rows[0]["checkpoints"]) == 3
    assert set(rows[0]["checkpoints"]) <= kept


def test_run_ends_with_leaderboard_findings_and_checkpoint(tmp_path: Path) -> None:
    table(tmp_path)
    done = foldstep("run", spec(tmp_path), "--workers", "1", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[1:]) == (0, [])
    text = " ".join(done.stdout.split())
    assert "target has 2 classes of text: treated as classification." in text
    assert "small: accuracy, mean of 3 folds" in text
    assert "Page: http://127.0.0.1:" in text
    assert "completed, 3 trials." in text
    (best,) = [line for line in done.stdout.splitlines() if line.startswith("Best checkpoint: ")]
    assert Path(best.removeprefix("Best checkpoint: ")).is_file()


def test_json_is_a_list_of_rows(tmp_path: Path) -> None:
    table(tmp_path)
    text = (tmp_path / spec(tmp_path)).read_text()
    done = foldstep("run", "-", "--workers", "1", "--json", cwd=tmp_path, stdin=text)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [r["rank"] for r in rows] == [1, 2, 3]
    assert {r["trial"] for r in rows} == {0, 1, 2}
    for row in rows:
        assert {"trial", "score", "params", "folds"} <= set(row)
        assert {"lr", "width", "epochs"} <= set(row["params"])
        assert len(row["folds"]) == 3
        assert row["score"] == pytest.approx(sum(row["folds"]) / 3, abs=1e-15)
        assert all((tmp_path / "foldstep-data/checkpoints").rglob(name) for name in row["checkpoints"])
    assert rows[0]["score"] >= rows[1]["score"] >= rows[2]["score"] > 0
    assert rows[0]["score"] > 0.85, "the target follows from the columns"


def test_regression_is_scored_in_the_targets_units(tmp_path: Path) -> None:
    table(tmp_path, is_regression=True)
    done = foldstep("run", spec(tmp_path), "--workers", "1", "--json", cwd=tmp_path)
    scores = [r["score"] for r in json.loads(done.stdout)]
    assert scores == sorted(scores), "rmse: less is better"
    assert 0.05 < scores[0] < 0.6, "the noise is 0.1, the target's standard deviation above 1"


def test_table_is_found_beside_the_spec(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    table(elsewhere)
    path = elsewhere / spec(elsewhere, budget={"trials": 1})
    assert foldstep("run", str(path), "--workers", "1", cwd=tmp_path).returncode == 0


def test_a_search_without_a_winner_ends_with_3(tmp_path: Path) -> None:
    table(tmp_path)
    explosive = {"lr": 1e30, "optimizer": "sgd", "epochs": 3, "depth": 3}
    done = foldstep("run", spec(tmp_path, parameters=explosive), "--workers", "1", cwd=tmp_path)
    assert done.returncode == 3
    assert "diverged" in done.stdout
    assert "Traceback" not in done.stderr


# -- interrupted ------------------------------------------------------------------------------------------------------

LONG = {
    "name": "long",
    "data": {"dataset": "digits"},
    "budget": {"trials": 10},
    "parameters": {
        "lr": {"low": 1e-3, "high": 1e-1, "log": True},
        "width": {"low": 16, "high": 64},
        "dropout": {"low": 0.0, "high": 0.4},
        "epochs": 400,
        "batch_size": 64,
    },
}


class Run:
    """`foldstep run` in the background of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data_dir = folder, folder / "data"
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *words: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "foldstep", "run", spec(self.folder, **LONG), "--dir", str(self.data_dir), *words]
        process = subprocess.Popen(
            argv, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "FOLDSTEP_REPORT_INTERVAL_S": "0.1"},
        )  # fmt: skip
        self._started.append(process)
        return process

    def processes(self) -> list[str]:
        """Command lines of everything that works for this folder."""
        found = []
        for process in psutil.process_iter(["cmdline", "status"]):
            words = process.info["cmdline"] or []
            if process.info["status"] != psutil.STATUS_ZOMBIE and any(str(self.data_dir) in w for w in words):
                found.append(" ".join(words))
        return found

    def is_under_way(self) -> bool:
        try:
            address, token = ((self.data_dir / name).read_text().strip() for name in ("address", "token"))
        except FileNotFoundError:
            return False
        master = Foldstep(address, token, patience_s=5)
        try:
            rows = [row for search in master.searches() for row in master.all_trials(search.id)]
        finally:
            master.close()
        return any(0 < row.epoch < row.epochs for row in rows)

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self.data_dir) in w for w in process.info["cmdline"] or []):
                process.kill()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    started = Run(tmp_path)
    yield started
    started.end()


def bits(rows: list[dict[str, Any]]) -> list[Any]:
    return [(r["trial"], r["rank"], r["score"], r["folds"], r["params"], r["checkpoints"]) for r in rows]


def uninterrupted() -> list[Any]:
    with TemporaryDirectory() as folder:
        done = foldstep("run", spec(Path(folder), **LONG), "--json", "--workers", "1", cwd=Path(folder))
        assert done.returncode == 0, done.stderr
        return bits(json.loads(done.stdout))


def test_interrupted_run_leaves_no_process_and_goes_on_to_the_same_bits(run: Run) -> None:
    for name in (signal.SIGINT, signal.SIGTERM):
        process = run.start("--workers", "2")
        until(run.is_under_way, "a trial in training")
        process.send_signal(name)
        out, err = process.communicate(timeout=WAIT_S)
        assert process.returncode == 130
        assert "The same command resumes the search" in err
        assert "Traceback" not in err + out
        assert run.processes() == []
    last = run.start("--json")
    out, err = last.communicate(timeout=WAIT_S)
    assert last.returncode == 0, err
    assert bits(json.loads(out)) == uninterrupted()
    assert len(list((run.data_dir / "checkpoints").iterdir())) == 1, "the same search, no second one"
    assert run.processes() == []


def test_killed_run_leaves_no_master_and_no_worker_behind_for_long(run: Run) -> None:
    process = run.start("--workers", "1")
    until(run.is_under_way, "a trial in training")
    assert any("serve" in line for line in run.processes())
    process.kill()
    process.wait()
    until(lambda: not any("serve" in line for line in run.processes()), "the master's end")
    until(lambda: run.processes() == [], "the worker's end")
