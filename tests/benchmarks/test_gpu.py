"""The GPU benchmark on a CPU: it runs where only torch, numpy and scikit-learn are, and both its sides learn."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import PRODUCTS, agreement, agreement_of_kernel, product
from benchmarks.gpu_pack import Device, Pack

ROOT = Path(__file__).parents[2]
CPU = Device(torch.device("cpu"), 0.01)
OTHERS = ("pydantic", "fastapi", "sqlalchemy", "httpx", "pyarrow", "optuna", "yaml", "rich", "safetensors")


def test_it_measures_everything_with_torch_numpy_and_scikit_learn_alone(tmp_path: Path) -> None:
    refuse = f"import sys; sys.modules.update(dict.fromkeys({OTHERS!r})); import runpy; sys.argv[0] = 'gpu'; "
    argv = [sys.executable, "-c", refuse + "runpy.run_module('benchmarks.gpu', run_name='__main__', alter_sys=True)"]
    options = ["--device", "cpu", "--quick", "--out", str(tmp_path / "gpu.json")]
    done = subprocess.run([*argv, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    measured = {row["measured"] for row in rows}
    assert measured == {"agreement", "agreement of the kernel", "packs", "plain", "grid", "whole grid", "product"}
    assert [row["not_measured"] for row in rows if row["measured"] == "product"], "a worker needs more than that"
    assert all(row["per_s"] > 0 for row in rows if "per_s" in row)


def test_a_device_that_learns_something_else_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert agreement(CPU)["largest_relative_difference"] == 0
    right, seen = Pack.step, []

    def wrong(self: Pack) -> None:
        seen.append(self)
        if self is seen[0]:
            self.net.parameters.buffer.mul_(0.9)
        right(self)

    monkeypatch.setattr(Pack, "step", wrong)
    with pytest.raises(AssertionError, match="learned something else"):
        agreement(CPU)


def test_a_kernel_that_learns_something_else_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = agreement_of_kernel(CPU)
    assert row["largest_relative_difference"] < 1e-5
    monkeypatch.setattr(Pack, "fused", lambda self, _warps: self.step)
    with pytest.raises(AssertionError, match="learned something else"):
        list(agreement_of_kernel(CPU))


def test_the_product_is_measured_where_its_packages_are() -> None:
    rows = list(product(CPU, 4))
    assert [(row["precision"], row["packs_in_flight"], row["may_fuse"]) for row in rows] == list(PRODUCTS)
    assert len({row["accuracy"] for row in rows}) == 1, "a CPU rounds for nobody's tf32"
    assert {row["moved"] for row in rows} == {0.0}
    assert all(row["per_s"] > 0 and row["members"] == 20 for row in rows)


def test_a_pack_of_the_benchmark_learns() -> None:
    pack = Pack(4, (32,), 32, CPU)
    losses = []
    for number in range(50):
        pack.feed(number)
        pack.step()
        losses.append(pack.losses.mean().item())
    assert losses[-1] < losses[0] / 2
