"""What `foldstep run` shows while it runs: in a terminal of 80 columns, and where its output goes to a file."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.processes import WAIT_S, Processes, foldstep

COLUMNS = 80
SPEC: dict[str, Any] = {
    "name": "a-search-with-a-name-that-is-rather-long-but-allowed", "method": "random", "seed": 2,
    "data": {"dataset": "digits"}, "cv": {"folds": 3}, "budget": {"trials": 8}, "metric": "balanced_accuracy",
    "parameters": {
        "lr": {"low": 1e-4, "high": 1e-1, "log": True}, "width": [16, 64], "epochs": 300, "batch_size": 32,
    },
}  # fmt: skip
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")


def write(folder: Path, **changes: Any) -> str:
    (folder / "spec.json").write_text(json.dumps({**SPEC, **changes}))
    return "spec.json"


def in_a_terminal(*words: str, cwd: Path) -> tuple[int, list[str]]:
    """Run a command in a terminal of 80 columns; return its exit code and each line that it ever wrote there."""
    terminal, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "foldstep", *words], cwd=cwd, stdin=side, stdout=side, stderr=side,
        env={**environment, "TERM": "xterm-256color", "FOLDSTEP_REPORT_INTERVAL_S": "0.2"},
    )  # fmt: skip
    os.close(side)
    written = b""
    while chunk := _read(terminal):
        written += chunk
    os.close(terminal)
    text = ESCAPES.sub("", written.decode())
    return process.wait(WAIT_S), [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other side is closed: the command has ended
        return b""


EPOCHS = re.compile(r"([\d,]+) of ([\d,]+) epochs · (\d+) of (\d+) trials")


def counted(lines: list[str]) -> list[tuple[int, int, int]]:
    """Every (epochs done, epochs planned, trials done) that was shown."""
    found = [EPOCHS.search(line) for line in lines]
    return [(*(int(m[i].replace(",", "")) for i in (1, 2)), int(m[3])) for m in found if m]  # type: ignore[misc]


def test_in_a_terminal(tmp_path: Path) -> None:
    code, lines = in_a_terminal("run", write(tmp_path), "--workers", "1", cwd=tmp_path)
    text = "\n".join(lines)
    assert code == 0, text
    assert "Traceback" not in text
    for doing in ("Looking for a master", "Starting the master", "Reading the data"):
        assert doing in text
    shown = counted(lines)
    assert any(0 < epochs < planned and trials == 0 for epochs, planned, trials in shown), "trials in training count"
    assert {planned for _, planned, _ in shown} == {8 * 300}
    assert [epochs for epochs, _, _ in shown] == sorted(epochs for epochs, _, _ in shown)
    assert "24 networks in training" in text
    assert re.search(r"[\d,]+ steps/s", text)
    assert re.search(r"\d+ % · about \d+", text), "a time left"
    assert re.search(r"best balanced_accuracy \S+ \(trial \d, in training\)", text)
    long = [line for line in lines if len(line) > COLUMNS]
    assert all("/#" in line or "safetensors" in line or "foldstep serve" in line for line in long), long
    assert "8 trials. Together they trained 2,400 epochs." in " ".join(text.split())


def test_without_a_terminal(tmp_path: Path) -> None:
    done = foldstep("run", write(tmp_path), "--workers", "1", cwd=tmp_path, FOLDSTEP_REPORT_INTERVAL_S="0.2")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Looking for a master")
    assert any(re.match(r"\d+ s: .* · stage 1 of 1", line) for line in lines)
    assert "best balanced_accuracy" in done.stdout
    begun = [line for line in lines if re.match(r"\d+ s: ", line)]
    assert len(begun) < 20, "a line at news and every ten seconds, not at every look"


@pytest.mark.parametrize("end", ["target", "time"])
def test_after_an_early_end_the_counts_are_those_of_what_was_trained(tmp_path: Path, end: str) -> None:
    early: dict[str, Any] = {
        "target": {"budget": {"trials": 5000}, "metric": {"name": "accuracy", "target": 0.5}},
        "time": {"budget": {"time": "3s"}},
    }[end]
    with Processes(tmp_path) as processes:
        _, master = processes.master(FOLDSTEP_DATA_ROOTS=str(tmp_path))
        processes.worker(master, "w", 24)
        words = ("submit", write(tmp_path, **early), "--watch", "--dir", "data")
        done = foldstep(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        (search,) = master.searches()
        rows = [row for row in master.all_trials(search.id) if row.state not in ("waiting", "cancelled")]
        assert 0 < len(rows) < 256
        told = f"{search.id}: completed, {len(rows)} trial{'s' * (len(rows) > 1)}. Together they trained "
        assert told in " ".join(done.stdout.split())
        assert search.progress.epochs_planned == search.progress.epochs_done
        assert search.progress.epochs_done >= sum(row.epoch for row in rows)
        listed = foldstep("searches", "--dir", "data", cwd=tmp_path).stdout
        assert f"{len(rows)}/{len(rows)}" in listed
        for wrong in ("5000", "5,000", "256"):
            assert wrong not in done.stdout.rpartition("The search took")[2].rpartition("Together")[2]
            assert wrong not in listed
