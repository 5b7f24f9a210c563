"""Settings and fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.acceptance import template
from tests.acceptance.processes import Processes

settings.register_profile(
    "ci",
    max_examples=25,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("few", settings.get_profile("ci"), max_examples=4)
settings.register_profile("thorough", settings.get_profile("ci"), max_examples=500, derandomize=False)
settings.load_profile(os.environ.get("FOLDSTEP_TEST_PROFILE", "ci"))

for inherited in [
    name for name in os.environ if name.startswith("FOLDSTEP_") and not name.startswith("FOLDSTEP_TEST_")
]:
    del os.environ[inherited]  # settings of the user's shell must not affect the tests

signal.signal(signal.SIGINT, signal.default_int_handler)  # scripts start background processes that ignore it
torch.set_num_threads(1)  # as in a worker process
collect_ignore: list[str] = []
if torch.cuda.is_available():
    # a process compiles the kernel for GPUs or interprets it: here tests/gpu takes the place of these
    collect_ignore += ["worker/steps/test_fused.py", "benchmarks/test_gpu.py"]
else:
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # the process that starts the others
        template.begin()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        template.end()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Masters and workers of a test's own, which end with it."""
    with Processes(tmp_path) as started:
        yield started
