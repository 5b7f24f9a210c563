"""`foldstep run` where no worker can live: it ends with their reason, and the search goes on when they can."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.acceptance.processes import foldstep

SPEC = {
    "name": "gone", "method": "random", "seed": 1, "data": {"dataset": "wine"}, "cv": {"folds": 2},
    "parameters": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}, "width": 8, "epochs": 1}, "budget": {"trials": 2},
}  # fmt: skip
BROKEN_TORCH = {"torch/__init__.py": "raise ImportError('half an installation')\n"}
KILLED = {
    "sitecustomize.py": "import os, sys\nif 'foldstep.worker' in sys.orig_argv:\n"
    "    open('starts', 'a').write('x')\n    os.kill(os.getpid(), 9)\n"
}
LEFT = {
    "sitecustomize.py": "import os, sys\nif 'foldstep.worker' in sys.orig_argv:\n    os._exit(0)\n",
}


def broken(folder: Path, files: dict[str, str]) -> str:
    """A PYTHONPATH on which these files come first."""
    for name, content in files.items():
        path = folder / "broken" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return os.pathsep.join(filter(None, [str(folder / "broken"), os.environ.get("PYTHONPATH")]))


@pytest.mark.parametrize(
    ("files", "reason", "starts"),
    [
        (BROKEN_TORCH, "(ImportError: half an installation)", 0),
        (KILLED, "(killed by SIGKILL, as a system does that is out of memory)", 2 * 6),
        (LEFT, "(exit code 0)", 0),
    ],
    ids=["torch that cannot be imported", "killed at every start", "a clean end"],
)
def test_run_ends_with_the_reason_and_goes_on_when_workers_live(
    tmp_path: Path, files: dict[str, str], reason: str, starts: int
) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    words = ("run", "spec.json", "--json")
    died = foldstep(*words, "--workers", "2", cwd=tmp_path, PYTHONPATH=broken(tmp_path, files))
    assert (died.returncode, died.stdout) == (1, "")
    *_, last = died.stderr.splitlines()
    assert last.startswith("unavailable: No worker is left to train gone-")
    assert reason in last
    assert "the same command resumes the search in foldstep-data" in last
    assert "commands/running.py" not in died.stderr, "a refusal is a sentence, not a traceback"
    assert len((tmp_path / "starts").read_text() if starts else "") == starts, "each was started again, five times"
    well = foldstep(*words, "--workers", "1", cwd=tmp_path)
    assert well.returncode == 0, well.stderr
    assert [row["state"] for row in json.loads(well.stdout)] == ["completed"] * 2
    assert len(list((tmp_path / "foldstep-data" / "checkpoints").iterdir())) == 1, "the same search, no second one"


MASTER = ("worker", "--url", "http://127.0.0.1:1", "--token-file", "t", "--patience", "0", "--processes", "2")


def test_workers_that_are_killed_end_their_command_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("t")
    died = foldstep(*MASTER, cwd=tmp_path, PYTHONPATH=broken(tmp_path, KILLED))
    assert died.returncode == 1
    *_, last = died.stderr.splitlines()
    assert last.startswith("unavailable: The worker processes have ended: killed by SIGKILL")


def test_a_worker_that_refuses_says_why_once(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("t")
    refused = foldstep(*MASTER[:-1], "1", cwd=tmp_path)
    assert refused.returncode == 1
    (_, line) = refused.stderr.splitlines()
    assert line.startswith("foldstep worker: The master at http://127.0.0.1:1 cannot be reached")


def test_run_without_pytorch_says_so(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    hidden = {"sitecustomize.py": "import sys\nsys.modules['torch'] = None\n"}
    done = foldstep("run", "spec.json", cwd=tmp_path, PYTHONPATH=broken(tmp_path, hidden))
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["Looking for a master of foldstep-data", "Starting the master and its workers"]
    (line,) = done.stderr.splitlines()
    assert line.startswith("invalid_input: A worker needs PyTorch, which is not installed: pip install")
