"""The variable that chooses a backend: three words, and no other one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from foldstep.service.contract.errors import InvalidInput
from foldstep.worker.agent import _engine
from foldstep.worker.process import why_not_chosen
from foldstep.worker.settings import WorkerSettings
from foldstep.worker.steps.choice import CHOICES, VARIABLE, chosen
from foldstep.worker.steps.eager import EagerSteps
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from tests.worker.steps.tape import record_tape
from tests.worker.train.test_packed import CPU, SOURCES, members


def test_it_is_left_to_the_worker_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen() == "auto"
    for word in CHOICES:
        monkeypatch.setenv(VARIABLE, word)
        assert chosen() == word


@pytest.mark.parametrize("word", ["", "quick", "Eager", "compiled"])
def test_another_word_is_refused(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, word)
    with pytest.raises(InvalidInput, match=f"{VARIABLE}: expected one of auto, eager, fused, got {word!r}") as refused:
        chosen()
    (fault,) = refused.value.faults
    assert (fault.code, fault.path) == ("out_of_domain", VARIABLE)


def test_a_worker_says_so_and_does_not_start(tmp_path: Path) -> None:
    options = ["--url", "http://127.0.0.1:9", "--device", "cpu", "--name", "w", "--cache-dir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "foldstep.worker", *options, "--patience", "60"],
        env={**os.environ, VARIABLE: "quick", "FOLDSTEP_TOKEN": "t"},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "foldstep worker: The environment variable FOLDSTEP_BACKEND: expected one of auto, eager, fused, got 'quick'.\n"
    )


def test_a_worker_without_a_gpu_says_that_it_has_no_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = WorkerSettings("cpu", "w", tmp_path)
    assert why_not_chosen(settings) is None
    monkeypatch.setenv(VARIABLE, "fused")
    assert "needs a GPU" in (why_not_chosen(settings) or "")


def test_the_kernel_is_opt_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Engine(CPU, 1).may_fuse
    found = {}
    for word in CHOICES:
        monkeypatch.setenv(VARIABLE, word)
        engine = _engine(WorkerSettings("cuda:1", "w", tmp_path))
        found[word] = (engine.may_fuse, engine.may_capture)
    assert found == {"auto": (False, True), "eager": (False, False), "fused": (True, True)}


def test_steps_that_may_not_be_captured_are_called() -> None:
    engine = Engine(CPU, 1 << 30, may_compile=False, may_capture=False, recorder=record_tape)
    trainer = Training(SOURCES["wine"], "log_loss", engine).trainer(members([{"batch_size": 16}], 2, folds=1))
    assert isinstance(trainer._steps, EagerSteps)
