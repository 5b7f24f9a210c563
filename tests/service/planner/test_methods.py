"""The table of methods: every name has its code, a name without it is refused, and nobody else asks for names."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from foldstep.models.catalog.losses import LOSSES
from foldstep.models.catalog.metrics import METRICS, Direction
from foldstep.service.contract.errors import SpecInvalid
from foldstep.service.contract.methods import METHODS, SearchMethod
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.space import Params, Space
from foldstep.service.planner.learning import LearningPlanner
from foldstep.service.planner.load import NotImplementedMethod, load
from foldstep.service.planner.observed import Observed
from foldstep.service.planner.propose import propose
from foldstep.service.planner.stages import end_stage, first_stage, make_planner
from tests.service.planner.play import play

ROOT = Path(__file__).parents[3]
RAW = {"name": "a", "data": {"dataset": "iris"}, "parameters": {"lr": {"low": 0.1, "high": 0.9}}, "metric": "rmse"}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_its_code(name: str) -> None:
    method = METHODS[name]
    assert method.name == name
    assert method.meaning
    for named in (method.planner, method.model, method.next_stage):
        assert named is None or callable(load(named))


def test_a_method_without_code_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecInvalid, match="toy"):
        parse_spec({**RAW, "method": "toy"})
    monkeypatch.setitem(METHODS, "toy", SearchMethod("toy", "", planner="toy:Toy", next_stage="grid:no_such"))
    spec = parse_spec({**RAW, "method": "toy"})
    plan = first_stage(spec)
    with pytest.raises(NotImplementedMethod, match=r"toy:Toy: write service/planner/toy\.py"):
        make_planner(spec, plan)
    with pytest.raises(NotImplementedMethod, match=r"service/planner/grid\.py has no no_such"):
        end_stage(spec, plan, [], Direction.MINIMIZE)
    with pytest.raises(ValueError, match="either a planner or a model"):
        SearchMethod("toy", "")


def test_a_learning_method_is_an_entry_and_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    def toy(_space: Space, observed: Sequence[Observed], _size: int, rng: np.random.Generator) -> Iterator[Params]:
        """Points near the best one."""
        best = min(observed, key=lambda o: o.loss).params["lr"]
        while True:
            yield {"lr": float(np.clip(float(str(best)) + 0.01 * rng.standard_normal(), 0.1, 0.9))}

    module = ModuleType("foldstep.service.planner.toy")
    module.toy = toy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(METHODS, "toy", SearchMethod("toy", "points near the best one", model="toy:toy"))
    spec = parse_spec({**RAW, "method": "toy", "batch": 4, "budget": {"trials": 24}})
    planner = LearningPlanner(first_stage(spec), 0, spec.method, Direction.MINIMIZE, propose)
    history = play(planner, lambda params: abs(float(str(params["lr"])) - 0.5))
    assert len(history) == 24
    scores = [r.score for r in history if r.score is not None]
    assert max(scores[12:]) < min(scores[:8]) + 0.1


def compared_names(path: Path) -> set[str]:
    """Text that a file compares something with, or looks for in something."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare):
            inside = [leaf for side in (node.left, *node.comparators) for leaf in ast.walk(side)]
            found |= {leaf.value for leaf in inside if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)}
        if isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant):
            found.add(str(node.value.value))
    return found


@pytest.mark.parametrize("folder", ["service", "worker", "foldstep", "models"])
def test_nobody_branches_on_a_name_of_a_table(folder: str) -> None:
    """The entry's properties say what there is to know; the name of a metric may also be that of a loss."""
    names = {*METHODS, *METRICS, *Direction} - {*LOSSES}
    paths = [p for p in (ROOT / folder).glob("**/*.py") if "catalog" not in p.parts]
    assert len(paths) > 5
    branches = {str(p.relative_to(ROOT)): compared_names(p) & names for p in paths}
    assert {path: found for path, found in branches.items() if found} == {}
