"""The compiled library: how it is built, and its arithmetic in float32 against the eager backend in float64."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from foldstep.models.catalog.activations import ACTIVATIONS
from foldstep.models.catalog.losses import LOSSES
from foldstep.models.catalog.norms import NORMS
from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.catalog.units import UNITS
from foldstep.models.compiled import build as building
from foldstep.models.compiled import interface, members
from foldstep.models.compiled import library as loading
from foldstep.models.compiled.build import FLAGS, SOURCES, NotBuilt, build, find_compiler, write_header
from foldstep.models.compiled.library import Library, library
from foldstep.models.compiled.members import is_covered
from foldstep.models.hyperparameters import resolve
from foldstep.worker.steps import compiled
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from tests.worker.train.data import source
from tests.worker.train.watch import Watch

CPU = torch.device("cpu")
COVERED = [name for name, optimizer in OPTIMIZERS.items() if "compiled" in optimizer.rule.backends]
DATA = {
    "wine": source("wine"), "counts": source("diabetes", exposure=True), "labels": source("wine", labels=True),
    "targets": source("diabetes", targets=True),
}  # fmt: skip


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every test builds for itself; what others have loaded stays loaded."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build without optimisation, in a quarter of the time: for tests of the building, not of what is built."""
    monkeypatch.setattr(building, "FLAGS", tuple("-O0" if flag == "-O3" else flag for flag in FLAGS))


def load() -> Library:
    """As a new process would."""
    return loading.library.__wrapped__()


# -- building ---------------------------------------------------------------------------------------------------------


def test_the_source_compiles_without_a_warning(tmp_path: Path) -> None:
    write_header(tmp_path)
    strict = [find_compiler(), *FLAGS, f"-I{tmp_path}", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-psabi"]
    done = subprocess.run(
        [*strict, str(SOURCES / "step.cpp"), "-o", str(tmp_path / "step.so")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("quick")
def test_a_library_is_built_once(tmp_path: Path) -> None:
    first = build(tmp_path)
    made = first.stat().st_mtime_ns
    assert build(tmp_path) == first
    assert first.stat().st_mtime_ns == made
    assert set(os.listdir(tmp_path)) == {first.name, first.with_suffix(".sha256").name}, "no leavings"


def test_the_other_tests_train_with_it() -> None:
    assert compiled.why_not() is None


def test_eager_by_choice() -> None:
    ask = "from foldstep.worker.steps.compiled import why_not; print(why_not())"
    environment = {**os.environ, "FOLDSTEP_BACKEND": "eager"}
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.startswith("FOLDSTEP_BACKEND is eager. ")


@pytest.mark.usefixtures("quick")
def test_another_source_is_another_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(tmp_path)
    changed = tmp_path / "source"
    shutil.copytree(SOURCES, changed)
    with (changed / "arena.h").open("a") as file:
        file.write("// changed\n")
    monkeypatch.setattr(building, "SOURCES", changed)
    assert build(tmp_path) != first


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_damaged_library_is_built_anew(share: float) -> None:
    path = build()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    load()
    assert path.read_bytes() == whole


def test_without_a_compiler_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(NotBuilt, match="no-such-compiler was not found"):
        load()


def test_a_compiler_that_cannot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cannot = tmp_path / "cannot"
    cannot.write_text(
        "#!/bin/sh\n[ $1 = --version ] && exit 0\necho 'x.h: In file' >&2\necho 'x.h: error: 7' >&2\nexit 1\n"
    )
    cannot.chmod(0o755)
    monkeypatch.setenv("CXX", str(cannot))
    with pytest.raises(NotBuilt, match=r"cannot compile the library: x\.h: error: 7"):
        load()


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(NotBuilt, match="cannot be kept in"):
        load()


@pytest.mark.usefixtures("quick")
def test_a_library_that_lays_a_structure_out_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    path = build()
    below, *others = interface.RECORDS["Dropout"]._fields_
    other = type("Dropout", (ctypes.Structure,), {"_fields_": [*others, below]})
    monkeypatch.setattr(interface, "RECORDS", {**interface.RECORDS, "Dropout": other})
    with pytest.raises(NotBuilt, match="lays its structures out otherwise"):
        Library(str(path))


@pytest.mark.parametrize("field", ["activation", "norm", "units"])
def test_a_number_without_a_name_is_refused(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "number_of", lambda enumeration, _name: 99 if enumeration.lower() == field else 0)
    with pytest.raises(RuntimeError, match="refused a call \\(unknown_name\\)"):
        one_pass("wine", {"hidden": [8], "norm": "batch"}, torch.float32, compiled=True)


# -- arithmetic -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "covered"),
    [
        ({"hidden": [768, 8], "dropout": 0.5, "optimizer": "nesterov", "activation": "gelu"}, True),
        ({"hidden": []}, True),
        ({"hidden": [16, 769]}, False),
        ({"norm": "batch"}, True),
        ({"gradient_noise": 0.1, "optimizer": "muon"}, True),
        ({"norm": "layer", "input_dropout": 0.1}, True),
        ({"units": "glu"}, True),
        ({"units": "maxout"}, True),
        ({"optimizer": "lbfgs", "batch_size": 10**6}, False),
    ],
)
def test_what_it_covers(params: dict[str, object], covered: bool) -> None:
    assert is_covered(resolve(params)) is covered


def one_pass(name: str, params: dict[str, object], dtype: torch.dtype, *, compiled: bool) -> tuple[float, np.ndarray]:
    """The loss and the gradients of a batch."""
    metric = "log_loss" if name == "wine" else "mse"
    training = Training(DATA[name], metric, Engine(CPU, 1 << 30, dtype, compiled))
    trainer = training.trainer([Member(0, 0, resolve({"epochs": 1, "seed": 3, **params}))])
    loss = trainer.probe(1)().item()
    return loss, trainer.net.gradients.buffer.double().numpy()


def assert_as_exact_as_eager(name: str, params: dict[str, object]) -> None:
    """In float32, against the eager backend in float64: a saturated unit may multiply what rounding did before it."""
    true_loss, truth = one_pass(name, params, torch.float64, compiled=False)
    compiled, eager = (one_pass(name, params, torch.float32, compiled=c) for c in (True, False))
    greatest = np.abs(truth).max()
    assert abs(compiled[0] - true_loss) <= 3 * abs(eager[0] - true_loss) + 5e-7 * abs(true_loss)
    assert np.abs(compiled[1] - truth).max() <= 3 * np.abs(eager[1] - truth).max() + 5e-7 * greatest


@pytest.mark.parametrize("gain", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_in_float32(activation: str, gain: float) -> None:
    hidden = {"hidden": [40, 24], "activation": activation, "init_gain": gain}
    assert_as_exact_as_eager("wine", {**hidden, "batch_size": 50})


@pytest.mark.parametrize("gain", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_normalisation_in_float32(norm: str, gain: float) -> None:
    hidden = {"hidden": [40, 24], "activation": "gelu", "norm": norm, "init_gain": gain}
    assert_as_exact_as_eager("wine", {**hidden, "batch_size": 50})


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "units",
    [
        {"units": "glu", "activation": "sigmoid"},
        {"units": "glu", "activation": "silu"},
        {"units": "glu", "activation": "tanh", "activation_trained": "unit"},
        {"units": "maxout", "parametrization": "ntk"},
        {"units": "maxout", "skip": "residual", "hidden": [24, 24, 24]},
    ],
    ids=str,
)
def test_units_with_two_maps_in_float32(units: dict[str, object], norm: str) -> None:
    assert_as_exact_as_eager("wine", {"hidden": [40, 24], "norm": norm, "batch_size": 50, "dropout": 0.2, **units})


def test_a_tie_of_maxout_is_halved() -> None:
    """Maps that begin at the same weights: all units tie, and both maps get the same gradient."""
    params = {"hidden": [8], "units": "maxout", "batch_size": 37, "init_gain": 2.0}
    training = Training(DATA["wine"], "log_loss", Engine(CPU, 1 << 30))
    trainer = training.trainer([Member(0, 0, resolve({"epochs": 1, **params}))])
    stack, gradients = trainer.net.parameters, trainer.net.gradients
    stack.of(0, "second_weight").copy_(stack.of(0, "weight"))
    trainer.probe(1)()
    assert gradients.of(0, "weight").abs().max() > 0
    assert torch.equal(gradients.of(0, "weight"), gradients.of(0, "second_weight"))


@pytest.mark.parametrize("gain", [1.0, 3.0])
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_in_float32(loss: str, gain: float) -> None:
    params = {"hidden": [16], "batch_size": 37, "init_gain": gain}
    name = {"classification": "wine", "multilabel": "labels", "regression": "counts"}[LOSSES[loss].task]
    assert_as_exact_as_eager(name, {**params, "loss": loss})
    if name == "counts" and LOSSES[loss].has_targets:
        assert_as_exact_as_eager("targets", {**params, "loss": loss})


@pytest.mark.parametrize("sigma", [0.01, 1.0, 100.0, 1e5])
@pytest.mark.parametrize("kind", ["periodic", "pbld"])
def test_number_embeddings_in_float32(kind: str, sigma: float) -> None:
    """Angles from the smallest to those whose sines only the C library can compute."""
    params = {"hidden": [16], "batch_size": 50, "number_embedding": kind, "embedding_sigma": sigma}
    true_loss, truth = one_pass("wine", params, torch.float64, compiled=False)
    compiled, eager = (one_pass("wine", params, torch.float32, compiled=c) for c in (True, False))
    assert abs(compiled[0] - true_loss) <= 3 * abs(eager[0] - true_loss) + 5e-7 * abs(true_loss)
    assert np.abs(compiled[1] - truth).max() <= 3 * np.abs(eager[1] - truth).max() + 5e-7 * np.abs(truth).max()


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 32, 64), (2, 128, 48)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_transposed(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    matrices = torch.arange(np.prod(shape), dtype=dtype).view(shape)
    assert torch.equal(library().transposed(matrices), matrices.transpose(1, 2))


@pytest.mark.parametrize("processor", ["haswell"] if platform.machine() == "x86_64" else [])
def test_bits_do_not_depend_on_the_registers(processor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built for 256 bits, the library trains what it trains when it is built for this machine."""
    native = trained_weights()
    monkeypatch.setattr(building, "FLAGS", [flag.replace("native", processor) for flag in FLAGS])
    other = Library(str(build(tmp_path)))
    monkeypatch.setattr(compiled, "library", lambda: other)
    assert trained_weights() == native


def trained_weights() -> list[bytes]:
    rules = COVERED
    mix = [
        {"hidden": [40, 17], "activation": activation, "optimizer": rules[i % len(rules)], "lr": 0.01, "epochs": 5,
         "batch_size": 23, "dropout": 0.25 * (i % 2), "weight_decay": 1e-3, "clip_norm": 0.5 * (i % 3),
         "norm": list(NORMS)[i % 3], "input_dropout": 0.2 * (i % 4 == 3), "units": list(UNITS)[i % 3]}
        for i, activation in enumerate(ACTIVATIONS)
    ]  # fmt: skip
    watch = Watch()
    these = [Member(trial, 0, resolve(params)) for trial, params in enumerate(mix)]
    Training(DATA["wine"], "log_loss", Engine(CPU, 1 << 30)).train(these, watch)
    return [a.tobytes() for _, weights in watch.done.values() for layer in weights or () for a in layer.values()]


@pytest.mark.parametrize("part", ["weight", "second_weight"])
@pytest.mark.parametrize("units", [kind for kind, row in UNITS.items() if row.has_second])
def test_not_a_number_of_either_map_is_never_hidden(units: str, part: str) -> None:
    assert_not_hidden({"units": units}, part)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_not_a_number_is_never_hidden(activation: str) -> None:
    assert_not_hidden({"activation": activation}, "weight")


def assert_not_hidden(params: dict[str, object], part: str) -> None:
    training = Training(DATA["wine"], "log_loss", Engine(CPU, 1 << 30))
    trainer = training.trainer([Member(i, 0, resolve({"hidden": [8], **params})) for i in range(2)])
    trainer.net.parameters.of(0, part)[0, 3, 2] = float("nan")
    losses = trainer.probe(1)()
    assert losses.isnan().tolist() == [True, False]


@pytest.mark.parametrize("optimizer", COVERED)
def test_weights_that_are_updated_in_parts_are_what_they_are_in_one(optimizer: str) -> None:
    """A gradient that is clipped is made whole before it is used; clipped to what it never reaches, it is the same."""
    wide = {"hidden": [300, 500, 40], "optimizer": optimizer, "lr": 1e-3, "batch_size": 23, "epochs": 3}
    more = {"l1": 1e-4, "weight_decay": 1e-2, "ema_decay": 0.5, "dropout": 0.3}
    gated = wide | more | {"units": "glu", "hidden": [300, 40]}
    for params in (wide, wide | more | {"norm": "layer"}, wide | more | {"norm": "batch"}, gated):
        assert weights_of(params) == weights_of(params | {"clip_norm": 1e9})


def weights_of(params: dict[str, object]) -> list[bytes]:
    watch = Watch()
    Training(DATA["wine"], "log_loss", Engine(CPU, 1 << 30)).train([Member(0, 0, resolve(params))], watch)
    return [a.tobytes() for layer in watch.done[0, 0][1] or () for a in layer.values()]


def test_wide_layers_in_float32() -> None:
    assert_as_exact_as_eager("wine", {"hidden": [300, 500, 40], "batch_size": 50})
