"""The kernel for GPUs, interpreted line by line on the CPU: the same training as operation by operation."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from hypothesis import given
from hypothesis import strategies as st
from triton.runtime.errors import OutOfResources

from foldstep.models.catalog.losses import LOSSES_OF_TASK
from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.fused import functions, kernel
from foldstep.models.fused.launch import FusedMembers
from foldstep.models.fused.members import is_covered
from foldstep.models.fused.numbers import ACTIVATION_NAMES, FAMILY_NAMES, LOSS_NAMES, REAL_COLUMNS, RULE_COLUMNS
from foldstep.models.hyperparameters import resolve
from foldstep.worker.steps import backend
from foldstep.worker.steps.engine import Engine
from foldstep.worker.steps.fastest import Timings
from foldstep.worker.steps.fused import FusedSteps
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from tests.worker.train.test_packed import CPU, METRIC, SOURCES, assert_equals_oracle, bits, members
from tests.worker.train.watch import Watch

pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value|divide by zero):RuntimeWarning:triton")
"""The interpreter computes with NumPy, which speaks up where a member diverges."""

RULES = [name for name, optimizer in OPTIMIZERS.items() if "fused" in optimizer.rule.backends]
KERNEL, OTHER_KERNEL, OPERATIONS = "a kernel of 4 warps", "a kernel of 8 warps", "single operations"

narrow = st.fixed_dictionaries(
    {
        "hidden": st.lists(st.sampled_from([1, 8, 17, 40]), max_size=3),
        "optimizer": st.sampled_from(RULES),
        "activation": st.sampled_from(ACTIVATION_NAMES),
        "lr": st.sampled_from([1e-3, 1e-2]),
        "weight_decay": st.sampled_from([0.0, 0.1]),
        "scaler": st.sampled_from(["standard", "minmax"]),
        "seed": st.sampled_from([0, 1]),
        "batch_size": st.sampled_from([23, 60]),
    },
    optional={
        "momentum": st.sampled_from([0.0, 0.5]),
        "beta1": st.sampled_from([0.5, 0.95]),
        "rho": st.sampled_from([0.8, 0.95]),
        "activation_1": st.sampled_from(ACTIVATION_NAMES),
        "dropout": st.sampled_from([0.0, 0.25, 0.6]),
        "dropout_2": st.sampled_from([0.0, 0.5]),
        "schedule": st.sampled_from(["constant", "one_cycle"]),
        "bias_init": st.sampled_from([0.0, 0.1]),
    },
)
EVERYTHING: list[dict[str, Any]] = [
    {
        "hidden": [[16], [24, 8], [40, 33, 7], []][i % 4],
        "activation": name,
        "optimizer": RULES[i % len(RULES)],
        "lr": 0.01,
    }
    | {"weight_decay": 0.01, "dropout": 0.3 * (i % 2), "batch_size": 23}
    for i, name in enumerate(ACTIVATION_NAMES)
]
OF_TASK = {
    "wine": st.fixed_dictionaries({}, optional={"label_smoothing": st.sampled_from([0.0, 0.1])}),
    "counts": st.fixed_dictionaries(
        {},
        optional={
            "loss": st.sampled_from(LOSSES_OF_TASK["regression"]),
            "huber_delta": st.sampled_from([0.3, 1.0]),
            "tweedie_power": st.sampled_from([1.1, 1.9]),
        },
    ),
}


class Always(Timings):
    """Goes some ways only, in turn, and trusts them: what they come to is for the test to judge."""

    def __init__(self, *ways: str) -> None:
        super().__init__()
        self.ways, self.taken = ways, list[str]()

    def next_of(self, ways: Any) -> str:
        assert set(self.ways) <= set(ways)
        self.taken.append(self.ways[len(self.taken) % len(self.ways)])
        return self.taken[-1]

    def agrees(self, _way: str, _kinds: Any) -> bool:
        return True

    def fail(self, way: str) -> None:
        raise AssertionError(f"{way} does not work")


def train(name: str, these: list[Member], dtype: torch.dtype, *ways: str) -> Watch:
    """By the kernel where it can, going `ways`; without any, operation by operation."""
    watch = Watch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "Timings", lambda: Always(*ways))
        engine = Engine(CPU, 1 << 30, dtype, may_compile=False, may_fuse=bool(ways))
        Training(SOURCES[name], METRIC[name], engine).train(these, watch)
    return watch


def assert_close(one: Watch, other: Watch, rtol: float) -> None:
    assert one.done.keys() == other.done.keys()
    for key, (member, weights) in one.done.items():
        twin, its_weights = other.done[key]
        np.testing.assert_allclose(member.progress.train_loss, twin.progress.train_loss, rtol=rtol)
        np.testing.assert_allclose(member.progress.scores, twin.progress.scores, rtol=rtol)
        assert (weights is None) == (its_weights is None)
        for mine, its in zip(weights or [], its_weights or [], strict=True):
            for part in mine:
                np.testing.assert_allclose(mine[part], its[part], rtol=rtol, atol=rtol)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    name = draw(st.sampled_from(sorted(OF_TASK)))
    return name, [draw(narrow) | draw(OF_TASK[name]) for _ in range(draw(st.integers(1, 3)))]


@given(scene=scenes())
def test_the_kernel_equals_stock_pytorch(scene: tuple[str, list[dict[str, Any]]]) -> None:
    name, mix = scene
    these = members(mix, epochs=4, folds=1)
    watch = train(name, these, torch.float64, KERNEL)
    for member, _ in watch.done.values():
        assert_equals_oracle(name, member)


def test_every_rule_and_function_gives_the_weights_of_single_operations() -> None:
    """Of all depths that there are, in float64 and, within what float32 can tell, in float32."""
    for dtype, rtol in ((torch.float64, 1e-8), (torch.float32, 2e-3)):
        fused, single = (train("wine", members(EVERYTHING, 3, folds=1), dtype, *ways) for ways in ((KERNEL,), ()))
        assert_close(fused, single, rtol)


@pytest.mark.parametrize("lr", [0.01, 5.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_kernel_is_found_to_be_right(dtype: torch.dtype, lr: float, caplog: pytest.LogCaptureFixture) -> None:
    """Even where members diverge, or amplify rounding, as they do at the higher rate."""
    mix = [hp | {"lr": lr} for hp in EVERYTHING]
    engine = Engine(CPU, 1 << 30, dtype, may_compile=False, may_fuse=True)
    Training(SOURCES["wine"], METRIC["wine"], engine).train(members(mix, 2, folds=1), Watch())
    assert caplog.records == []
    (timings,) = engine.timings.values()
    assert timings.agrees(KERNEL, {("optimizer", name) for name in RULES})


def one_larger_update(members: FusedMembers, before: torch.Tensor, _losses: torch.Tensor) -> None:
    whole = members._parameters.parts[0].flat
    whole[0] += 0.01 * (whole[0] - before[: whole.numel()].view_as(whole)[0])


def one_wrong_loss(_members: FusedMembers, _before: torch.Tensor, losses: torch.Tensor) -> None:
    losses[0] *= 1.01


def one_moment_that_is_no_number(members: FusedMembers, _before: torch.Tensor, _losses: torch.Tensor) -> None:
    members._first.parts[0].flat[0, 0] = torch.nan


@pytest.mark.parametrize("spoil", [one_larger_update, one_wrong_loss, one_moment_that_is_no_number])
def test_a_kernel_that_is_wrong_makes_way(
    spoil: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = FusedMembers.take

    def wrong(self: FusedMembers, fed: Any, steps: range, before: int) -> torch.Tensor:
        start = self._parameters.buffer.clone()
        losses = take(self, fed, steps, before)
        if steps:
            spoil(self, start, losses)
        return losses

    monkeypatch.setattr(FusedMembers, "take", wrong)
    mix: list[dict[str, Any]] = [{"hidden": [16], "batch_size": 23}, {"hidden": [8], "batch_size": 23}]
    watch, engine = Watch(), Engine(CPU, 1 << 30, torch.float32, may_compile=False, may_fuse=True)
    Training(SOURCES["wine"], METRIC["wine"], engine).train(members(mix, 4, folds=1), watch)
    told = [r.getMessage() for r in caplog.records]
    assert [m[: m.index(":")] for m in told] == [
        f"steps are not taken by {name}, for it is wrong" for name in (KERNEL, OTHER_KERNEL)
    ]
    plain = train("wine", members(mix, 4, folds=1), torch.float32)
    assert all(bits(watch, key) == bits(plain, key) for key in plain.done)


def test_ways_may_alternate_within_a_training() -> None:
    """Moments and the count of steps are the same ones for all, and so are the steps that are looked at."""
    mix = [{"hidden": [16], "optimizer": name, "batch_size": 16, "dropout": 0.2} for name in ("adam", "rmsprop")]
    mixed = train("wine", members(mix, 23, folds=1), torch.float64, KERNEL, OPERATIONS, OTHER_KERNEL)
    single = train("wine", members(mix, 23, folds=1), torch.float64)
    assert_close(mixed, single, 1e-9)
    probes = [w.done[0, 0][0].progress.probes for w in (mixed, single)]
    assert len(probes[0]) > 0
    np.testing.assert_allclose(*(np.array(p, dtype=float) for p in probes), rtol=1e-4)


def test_other_members_train_beside_those_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    take = FusedSteps.run

    def counting(self: FusedSteps, batches: Any, steps: range, before: int, **how: bool) -> torch.Tensor:
        taken.append(batches.rates.shape[1])
        return take(self, batches, steps, before, **how)

    monkeypatch.setattr(FusedSteps, "run", counting)
    mix = [{"hidden": [16], "batch_size": 23}, {"hidden": [16], "batch_size": 23, "norm": "batch"}]
    both = train("wine", members(mix, 3, folds=1), torch.float64, KERNEL)
    assert set(taken) == {1}, "only the first one"
    assert_close(both, train("wine", members(mix, 3, folds=1), torch.float64), 1e-9)


@pytest.mark.parametrize(
    "more",
    [
        {"norm": "layer"}, {"input_dropout": 0.1}, {"l1": 0.1}, {"clip_norm": 1.0}, {"ema_decay": 0.9},
        {"hidden": [65]}, {"hidden": [64, 64, 64]}, {"batch_size": 129}, {"optimizer": "lbfgs"},
        {"optimizer": "muon"}, {"label_smoothing": 0.1, "label_smoothing_to": "frequencies"},
        {"class_weight": "balanced"}, {"parametrization": "ntk"}, {"activation_trained": "unit"}, {"skip": "residual"},
        {"units": "glu"},
    ],
)  # fmt: skip
def test_what_the_kernel_leaves_to_others(more: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"hidden": [64, 64], "batch_size": 128}
    assert is_covered(resolve(plain), 64, 10)
    assert not is_covered(resolve(plain | more), 64, 10)
    assert not is_covered(resolve(plain), 65, 10)


def test_a_kernel_that_fails_makes_way(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OutOfResources(300_000, 232_448, "shared memory")

    monkeypatch.setattr(FusedMembers, "take", refuse)
    mix = [{"hidden": [16], "batch_size": 23}]
    with caplog.at_level(logging.WARNING):
        engine = Engine(CPU, 1 << 30, torch.float32, may_compile=False, may_fuse=True)
        watch = Watch()
        Training(SOURCES["wine"], METRIC["wine"], engine).train(members(mix, 4, folds=1), watch)
    refused = OutOfResources(300_000, 232_448, "shared memory")
    assert [r.getMessage() for r in caplog.records] == [
        f"steps are not taken by {name}: OutOfResources: {refused}" for name in (KERNEL, OTHER_KERNEL)
    ]
    assert bits(watch, (0, 0)) == bits(train("wine", members(mix, 4, folds=1), torch.float32), (0, 0))


def test_running_out_of_memory_is_not_taken_for_a_kernel_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust(*_: object, **__: object) -> None:
        raise torch.cuda.OutOfMemoryError("no room")

    monkeypatch.setattr(FusedSteps, "run", exhaust)
    engine = Engine(CPU, 1 << 30, torch.float32, may_compile=False, may_fuse=True)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        Training(SOURCES["wine"], METRIC["wine"], engine).train(members([{"hidden": [16]}], 4, folds=1), Watch())


def test_the_numbers_of_a_rule_lie_where_the_kernel_reads_them() -> None:
    assert [getattr(functions, name.upper()).value for name in RULE_COLUMNS] == list(range(len(RULE_COLUMNS)))
    assert [getattr(kernel, name.upper()).value for name in ("smoothing", "number")] == [
        REAL_COLUMNS.index(name) for name in ("smoothing", "number")
    ]


@triton.jit
def ask(p, answers, number, EVERY: tl.constexpr):
    """What the functions say for a number that none of their branches answers for."""
    at = tl.arange(0, 4)
    z = tl.load(p + at)
    of_loss, gradient = functions.error_loss(z, z, z, z, number, 1.0, EVERY)
    parameters, _, _ = functions.updated(z, z, z, z, number, (1.0, 1.0, 1.0), p, EVERY)
    tl.store(answers + at, functions.activated(z, number, EVERY))
    tl.store(answers + 4 + at, functions.slope(z, z, number, EVERY))
    tl.store(answers + 8 + at, gradient)
    tl.store(answers + 12 + at, of_loss + at * 0)
    tl.store(answers + 16 + at, parameters)


@pytest.mark.parametrize("every", [0, 2, 6])
def test_what_no_branch_answers_for_is_not_a_number(every: int) -> None:
    answers = torch.zeros(20)
    ask[(1,)](torch.ones(16), answers, 99, every)
    assert answers.isnan().all()


# -- for real GPUs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("dtype", ["fp32", "fp64"])
def test_the_kernel_compiles_for_gpus(capability: int, dtype: str, tmp_path: Path) -> None:
    """To machine code, as on a machine that has one; what is to be fast keeps to the registers."""
    done = compile_kernel(tmp_path, str(capability), dtype)
    assert done.returncode == 0, done.stderr
    kernels = re.findall(r"(\w+): (\d+) registers, (\d+) bytes of stack", done.stdout)
    assert [name for name, _, _ in kernels] == ["plain", "everything", "no_layers", *(["rounded"] * (dtype == "fp32"))]
    assert all(int(registers) > 16 for _, registers, _ in kernels)
    if dtype == "fp32":
        assert int(kernels[0][2]) <= 128, done.stdout


@pytest.mark.parametrize(
    ("table", "names"), [("ACTIVATIONS", ACTIVATION_NAMES), ("LOSSES", LOSS_NAMES), ("RULES", FAMILY_NAMES)]
)
def test_a_name_that_the_kernel_does_not_implement_does_not_compile(
    table: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    done = compile_kernel(tmp_path, "90", "fp32", "CLASSIFIES=0", f"{table}={1 << len(names)}")
    assert done.returncode != 0
    assert "that the kernel does not have" in done.stderr


def compile_kernel(cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(cache)
    command = [sys.executable, "-m", "tests.worker.steps.compile_kernel", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_networks_of_several_targets_are_not_fused() -> None:
    engine, hp = Engine(CPU, 1 << 30, may_compile=False, may_fuse=True), resolve({"hidden": [8]})
    assert engine.backend(hp, 4, 2) == "fused"
    assert engine.backend(hp, 4, 2, n_targets=2) == "eager"
