"""What a GPU's products may round to: packs agree on it, training reads it, scoring does not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from foldstep.models.catalog.hyperparameters import PRECISIONS
from foldstep.models.eager.packed import PackedFNN
from foldstep.models.hyperparameters import resolve
from foldstep.worker.steps import backend
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from tests.worker.steps.test_fused import KERNEL, Always
from tests.worker.train.data import source
from tests.worker.train.watch import Watch

CPU = torch.device("cpu")
WINE = source("wine")
OF_GPU = {"float32": "none", "tf32": "tf32", "bfloat16": "tf32"}


def members(*precisions: str) -> list[Member]:
    hps = [resolve({"hidden": [8], "epochs": 2, "batch_size": 16, "precision": p}) for p in precisions]
    return [Member(trial, 0, hp) for trial, hp in enumerate(hps)]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """What was set while passes forward, backward, and of validation ran, by their names."""
    found: dict[str, set[str]] = {}

    def watch(name: str) -> None:
        whole = getattr(PackedFNN, name)

        def watched(self: PackedFNN, *arguments: Any) -> Any:
            found.setdefault(name, set()).add(torch.backends.cuda.matmul.fp32_precision)
            return whole(self, *arguments)

        monkeypatch.setattr(PackedFNN, name, watched)

    for name in ("forward", "backward", "evaluate"):
        watch(name)
    return found


@pytest.mark.parametrize("precision", PRECISIONS)
def test_passes_round_as_the_pack_may(precision: str, seen: dict[str, set[str]]) -> None:
    engine = Engine(CPU, 1 << 30, may_compile=False)
    Training(WINE, "log_loss", engine).train(members(precision), Watch())
    set_in_training = {OF_GPU[precision]}
    assert seen == {"forward": set_in_training, "backward": set_in_training, "evaluate": {"none"}}
    assert torch.backends.cuda.matmul.fp32_precision == "none"


def test_members_of_a_pack_agree_on_it_where_they_share_products() -> None:
    mix = members("float32", "bfloat16", "float32")
    together, apart = ([[m.trial for m in pack] for pack in packs(mix, may_compile=c)] for c in (True, False))
    assert together == [[0, 1, 2]]
    assert sorted(apart) == [[0, 2], [1]]


def packs(these: list[Member], *, may_compile: bool) -> list[list[Member]]:
    return Training(WINE, "log_loss", Engine(CPU, 1 << 30, may_compile=may_compile)).packs(these)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_products_of_the_kernel(precision: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensor cores multiply once where factors may be rounded, three times where not, and not at all in float64."""
    from foldstep.models.fused import launch

    asked = set()
    whole = launch.take_steps

    class Asked:
        def __getitem__(self, grid: tuple[int]) -> Any:
            def run(*arguments: Any, **choices: Any) -> None:
                asked.add(choices["PRECISION"])
                whole[grid](*arguments, **choices)

            return run

    monkeypatch.setattr(launch, "take_steps", Asked())
    monkeypatch.setattr(backend, "Timings", lambda: Always(KERNEL))
    engine = Engine(CPU, 1 << 30, dtype, may_compile=False, may_fuse=True)
    Training(WINE, "log_loss", engine).train(members(precision), Watch())
    of_float32 = "tf32x3" if precision == "float32" else "tf32"
    assert asked == {of_float32 if dtype == torch.float32 else "ieee"}


def test_each_precision_is_timed_for_itself() -> None:
    """Which way is the fastest may differ between them."""
    engine = Engine(CPU, 1 << 30, may_compile=False, may_fuse=True)
    Training(WINE, "log_loss", engine).train(members("float32", "tf32"), Watch())
    assert len(engine.timings) == 2
