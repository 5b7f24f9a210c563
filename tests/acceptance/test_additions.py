"""Rows of CONTRIBUTING.md, followed by machine in a copy of the project, in the files that each names and no others.

Each addition is then used: searches are run with it, and the tests that draw names from the tables draw it, too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.acceptance.compose import ROOT

FOLDERS = ("benchmarks", "docs", "foldstep", "migrations", "models", "service", "tests", "worker")
LONG_S = 280
Edits = Mapping[str, list[tuple[str, str]]]
"""By file: what is looked for, which is there once, and what takes its place; a new file has one entry without it."""

METRIC: Edits = {
    "models/catalog/metrics.py": [(
        '        Metric("poisson_deviance"',
        '        Metric("worst_error", "greatest absolute error", "regression", Direction.MINIMIZE),\n'
        '        Metric("poisson_deviance"',
    )],
    "models/metrics.py": [
        ('    "poisson_deviance": _poisson_deviance,\n',
         '    "poisson_deviance": _poisson_deviance,\n'
         '    "worst_error": lambda predictions, truth, _: (predictions - truth).abs().amax(dim=1),\n'),
    ],
    "service/analysis/scores.py": [(
        '    "gamma_deviance": _gamma_deviance,\n',
        '    "gamma_deviance": _gamma_deviance,\n'
        '    "worst_error": lambda said, truth: np.abs(said - truth.values).max(axis=1),\n',
    )],
    "service/data/baseline.py": [(
        '    "gamma_deviance": _gamma_deviance,\n',
        '    "gamma_deviance": _gamma_deviance,\n'
        '    "worst_error": lambda train, valid: float(abs(valid.target - train.target.mean()).max()),\n',
    )],
}  # fmt: skip
METHOD: Edits = {
    "service/contract/methods.py": [(
        '        SearchMethod("forest"',
        '        SearchMethod("nearby", "one of the better half, a parameter drawn anew", model="nearby:nearby"),\n'
        '        SearchMethod("forest"',
    )],
    "service/planner/nearby.py": [("", '''
from foldstep.service.planner.random import random_params


def nearby(space, observed, _size, generator):
    """Draw one parameter of one of the better half anew."""
    better = sorted(observed, key=lambda one: one.loss)[: (len(observed) + 1) // 2]
    while True:
        best = better[generator.integers(len(better))].params
        drawn = random_params(space, int(generator.integers(2**31)), 0)
        name = generator.choice(sorted(best))
        yield {**drawn, **best, name: drawn[name]} if set(drawn) == set(best) else drawn
''')],
}  # fmt: skip
ACTIVATION: Edits = {  # softsign, whose slope is (1 - |a|)^2
    "models/catalog/activations.py": [
        ('    "tanh": Activation(', '    "softsign": Activation(),\n    "tanh": Activation('),
    ],
    "models/eager/activations.py": [
        ("ACTIVATIONS: Mapping", '''
def _softsign(z: Tensor) -> None:
    z.div_(1 + z.abs())


def _softsign_backward(gradient: Tensor, activation: Tensor) -> None:
    gradient.mul_((1 - activation.abs()).square_())


ACTIVATIONS: Mapping'''),
        ('    "tanh": Activation(',
         '    "softsign": Activation(_softsign, _softsign_backward),\n    "tanh": Activation('),
    ],
    "models/fnn.py": [
        ('    "tanh": np.tanh,', '    "softsign": lambda z: z / (1 + np.abs(z)),\n    "tanh": np.tanh,'),
    ],
    "tests/models/fnn.py": [('    "tanh": nn.Tanh,', '    "softsign": nn.Softsign,\n    "tanh": nn.Tanh,')],
    "models/compiled/source/activations.h": [
        ("    case Activation::tanh: return change(z,",
         "    case Activation::softsign:\n"
         "        return change(z, count, [](V x) -> V { return x / (T(1) + (x < 0 ? -x : x)); });\n"
         "    case Activation::tanh: return change(z,"),
        ("    case Activation::tanh: return change(delta,",
         "    case Activation::softsign:\n"
         "        return change(delta, at, count, [](V d, V a) -> V {\n"
         "            const V left = T(1) - (a < 0 ? -a : a);\n"
         "            return d * left * left;\n"
         "        });\n"
         "    case Activation::tanh: return change(delta,"),
    ],
    "models/fused/functions.py": [
        ('"selu", "mish")', '"selu", "mish", "softsign")'),
        ("SELU, MISH = numbers", "SELU, MISH, SOFTSIGN = numbers"),
        ("    USED_MISH,\n", "    USED_MISH, USED_SOFTSIGN,\n"),
        ("            found = sigmoid(z)\n",
         "            found = sigmoid(z)\n"
         "    if USED_SOFTSIGN & USED:\n        if name == SOFTSIGN:\n            found = z / (1 + tl.abs(z))\n"),
        ("            found = h * (1 - h)\n",
         "            found = h * (1 - h)\n"
         "    if USED_SOFTSIGN & USED:\n        if name == SOFTSIGN:\n"
         "            found = (1 - tl.abs(h)) * (1 - tl.abs(h))\n"),
    ],
    "foldstep/portable/network.py": [
        ('    "tanh": lambda ops, z: ops.tanh(z),',
         '    "softsign": lambda ops, z: z / (ops.maximum(z, z * -1.0) + 1.0),\n'
         '    "tanh": lambda ops, z: ops.tanh(z),'),
    ],
}  # fmt: skip
OPTIMIZER: Edits = {  # Lion (Chen et al. 2023, algorithm 2)
    "models/catalog/optimizers.py": [
        ('    "lbfgs": Family(', '    "lion": Family(moments=("first",)),\n    "lbfgs": Family('),
        ('    "lbfgs": Optimizer(',
         '    "lion": Optimizer("lion", 0.001, decouples_decay=True),\n    "lbfgs": Optimizer('),
    ],
    "models/eager/optim.py": [
        ("RULES: Mapping", '''
class _LionRun:
    """Lion."""

    def __init__(self, segment: Segment) -> None:
        self._at = segment
        self._betas = segment.column(lambda of: of.beta1), segment.column(lambda of: of.beta2)
        self._decay = segment.decay(lambda of: of.decoupled)

    def step(self, pace: Pace, _steps: Tensor, _losses: Tensor) -> None:
        at, (beta1, beta2) = self._at, self._betas
        pull = torch.sign(beta1 * at.first + (1 - beta1) * at.gradients)
        at.first.mul_(beta2).addcmul_(at.gradients, 1 - beta2)
        at.shrink(self._decay, pace)
        at.parameters.addcmul_(pull, -at.rates(pace))


RULES: Mapping'''),
        ('    "lbfgs": lambda optimizer',
         '    "lion": lambda optimizer: [_LionRun(segment) for segment in optimizer.segments("lion")],\n'
         '    "lbfgs": lambda optimizer'),
    ],
    "models/compiled/source/updates.h": [("    case Rule::adam: {", '''    case Rule::lion: {
        const T beta1 = T(numbers.beta1), beta2 = T(numbers.beta2);
        const T new1 = T(1 - numbers.beta1), new2 = T(1 - numbers.beta2);
        const T shrunk = T(1) - rate * (T(numbers.decoupled * run.factors.decay) * step.decay);
        return update_by(numbers, step, run, count, [=](V g, V p, V &m, V &) -> V {
            const V pull = beta1 * m + new1 * g;
            m = beta2 * m + new2 * g;
            return shrunk * p - rate * sign(pull);
        });
    }
    case Rule::adam: {''')],
    "models/fused/functions.py": [
        ('_FAMILIES = ("sgd", "rms", "adam")', '_FAMILIES = ("sgd", "rms", "adam", "lion")'),
        ("SGD, RMS, ADAM = numbers(", "SGD, RMS, ADAM, LION = numbers("),
        ("USED_SGD, USED_RMS, USED_ADAM = (tl.constexpr(1 << number.value) for number in (SGD, RMS, ADAM))",
         "USED_SGD, USED_RMS, USED_ADAM, USED_LION = (tl.constexpr(1 << n.value) for n in (SGD, RMS, ADAM, LION))"),
        ("    return found, m, v\n", '''    if USED_LION & USED:
        if rule == LION:
            pull = m * tl.load(numbers + BETA1) + tl.load(numbers + NEW1) * g
            m = m * tl.load(numbers + BETA2) + tl.load(numbers + NEW2) * g
            pull = tl.where(pull > 0, 1, tl.where(pull < 0, -1, pull))
            found = p * (1 - rate * tl.load(numbers + DECOUPLED)) - rate * pull
    return found, m, v
'''),
    ],
    "tests/oracle/single.py": [
        ("_OPTIMIZERS: Mapping", '''
class _Lion(torch.optim.Optimizer):
    @torch.no_grad()
    def step(self, _closure: Any = None) -> None:
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(group["lr"] * torch.sign(beta1 * m + (1 - beta1) * p.grad))
                m.mul_(beta2).add_((1 - beta2) * p.grad)


_OPTIMIZERS: Mapping'''),
        ('    "lbfgs": lambda hp, parameters',
         '    "lion": lambda hp, parameters: _Lion(\n'
         '        parameters, {"lr": hp.lr, "betas": (hp.beta1, hp.beta2), "weight_decay": hp.weight_decay}\n    ),\n'
         '    "lbfgs": lambda hp, parameters'),
    ],
}  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project as it is, to be changed."""
    made = tmp_path / "project"
    made.mkdir()
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, made / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "CONTRIBUTING.md", "CHANGELOG.md", "README.md", "ARCHITECTURE.md"):
        shutil.copy(ROOT / name, made)
    return made


def files_of(row: str) -> set[str]:
    """List the files that a row of CONTRIBUTING.md names."""
    (said,) = re.findall(rf"^\| {row} \| (.+) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    return set(re.findall(r"`([\w/]+\.\w+)`", re.split(r"\. Of a|; the mean of", said)[0]))


def apply(edits: Edits, project: Path) -> None:
    for name, changes in edits.items():
        path = project / name
        for sought, written in changes:
            text = path.read_text() if sought else ""
            assert text.count(sought) == 1, f"{sought} in {name}"
            path.write_text(text.replace(sought, written))


def run(project: Path, *words: str, cwd: Path | None = None, **environment: str) -> str:
    """What a command printed that ran in the copy, and with the copy's code."""
    done = subprocess.run(
        [sys.executable, *words], cwd=cwd or project, capture_output=True, text=True, check=False, timeout=LONG_S,
        env={**os.environ, "PYTHONPATH": str(project), "XDG_CACHE_HOME": str(project / "cache"), "COLUMNS": "150",
             **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def search(project: Path, spec: Mapping[str, object]) -> str:
    folder = project.parent / "work"
    folder.mkdir()
    (folder / "spec.json").write_text(json.dumps({"name": "added", "cv": {"folds": 2}, "seed": 1, **spec}))
    return run(project, "-P", "-m", "foldstep", "run", "spec.json", cwd=folder)


def passed(project: Path, which: str, *suites: str) -> list[str]:
    """Run the copy's tests that `which` selects, with few examples of each property, and return those that passed."""
    told = run(project, "-m", "pytest", "-q", "-rp", "-p", "no:cacheprovider", *suites, "-k", which,
               FOLDSTEP_TEST_PROFILE="few")  # fmt: skip
    return re.findall(r"^PASSED \S+::(\S+)", told, re.MULTILINE)


@pytest.mark.timeout(2 * LONG_S)
def test_a_metric(copy: Path) -> None:
    assert set(METRIC) == files_of("metric")
    apply(METRIC, copy)
    run(copy, "-m", "docs.make")
    assert "`worst_error` | greatest absolute error | smaller" in (copy / "docs" / "metrics.md").read_text()
    told = search(copy, {
        "data": {"dataset": "diabetes"}, "metric": "worst_error", "budget": {"trials": 4},
        "parameters": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}, "width": 8, "epochs": 3}, "method": "random",
    })  # fmt: skip
    assert "completed, 4 trials" in told
    shown = [float(score) for score in re.findall(r"^│ +\d+ │ +\d+ │ +([\d.]+) │", told, re.MULTILINE)]
    assert shown == sorted(shown)
    assert min(shown) > 50, "no greatest error of a fold is below that"


@pytest.mark.timeout(2 * LONG_S)
def test_a_learning_method(copy: Path) -> None:
    assert {name.replace("nearby", "NAME") for name in METHOD} == files_of("learning method")
    apply(METHOD, copy)
    told = search(copy, {
        "data": {"dataset": "wine"}, "method": "nearby", "batch": 4, "budget": {"trials": 16},
        "parameters": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}, "width": [4, 8, 16], "epochs": 2},
    })  # fmt: skip
    assert "completed, 16 trials" in told
    suites = ("tests/service/planner/test_learning.py", "tests/service/planner/test_methods.py")
    assert len(passed(copy, "nearby", *suites)) >= 5


@pytest.mark.timeout(2 * LONG_S)
def test_an_activation(copy: Path) -> None:
    assert set(ACTIVATION) == files_of("activation")
    apply(ACTIVATION, copy)
    found = passed(
        copy, "softsign or same_names or every_rule or (a_pack_equals and wine and not weighted)",
        "tests/models/test_catalog.py", "tests/models/test_fnn.py", "tests/worker/steps/test_compiled.py",
        "tests/worker/steps/test_fused.py", "tests/worker/train/test_packed.py", "tests/worker/checks",
        "tests/foldstep/portable/test_portable.py",
    )  # fmt: skip
    assert sum("softsign" in name or "same_names" in name for name in found) >= 6
    assert set(found) >= {
        "test_every_rule_and_function_gives_the_weights_of_single_operations", "test_a_pack_equals_stock_pytorch[wine]",
        "test_each_activation_equals_stock_pytorch[softsign]",
    }  # fmt: skip


@pytest.mark.timeout(2 * LONG_S)
def test_an_optimizer(copy: Path) -> None:
    assert set(OPTIMIZER) == files_of("optimizer")
    apply(OPTIMIZER, copy)
    found = passed(
        copy, "lion or same_names or every_optimizer or every_rule or (a_pack_equals and wine and not weighted)",
        "tests/models/test_catalog.py", "tests/worker/steps/test_compiled.py", "tests/worker/steps/test_fused.py",
        "tests/worker/train/test_packed.py",
    )  # fmt: skip
    assert sum(any(of in name for of in ("lion", "same_names", "every_optimizer")) for name in found) >= 6
    assert set(found) >= {
        "test_every_rule_and_function_gives_the_weights_of_single_operations", "test_a_pack_equals_stock_pytorch[wine]",
        "test_each_optimizer_equals_stock_pytorch[lion]",
    }  # fmt: skip
