"""The ingredients of the ablation: what a spec says with one of them changed; those that this version has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality.cases import Case
from benchmarks.quality.own import by_size, spec_of
from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.document import load_document
from foldstep.service.contract.errors import SpecInvalid
from foldstep.service.contract.parse import parse_spec

LIST = Path(__file__).with_name("ablation.yaml")
BASE = "base"


@dataclass(frozen=True)
class Ingredient:
    """Parameters that are changed in the base.

    Attributes:
        point: of the list of what makes a network for tables good: inputs, layers, training and so on; 0 for the base.
        task: the only one that it is for; None for both.
    """

    name: str
    point: int
    parameters: Mapping[str, Any]
    task: Task | None = None


@dataclass(frozen=True)
class Ablation:
    """A base, and the ingredients that change it."""

    base: dict[str, Any]
    ingredients: list[Ingredient]

    def spec(self, ingredient: Ingredient, case: Case, rate: float = 1.0) -> dict[str, Any]:
        """Make the spec of one trial with an ingredient; `rate` is a factor on its learning rates."""
        given = by_size(self.base, case.n_train)
        parameters = {**given["parameters"], **ingredient.parameters}
        rates = {name: rate * parameters[name] for name in ("lr", "muon_lr") if name in parameters}
        rest = {"method": "random", "budget": {"trials": 1}, "parameters": {**parameters, **rates}}
        return spec_of(case, {**given, **rest})

    def available(self, case: Case) -> tuple[list[Ingredient], list[Ingredient]]:
        """List the base with the ingredients that a case can have, and those that this version lacks."""
        found = [Ingredient(BASE, 0, {})]
        lacking: list[Ingredient] = []
        for ingredient in self.ingredients:
            if ingredient.task in (None, case.file.task):
                (found if self._is_valid(ingredient, case) else lacking).append(ingredient)
        return found, lacking

    def _is_valid(self, ingredient: Ingredient, case: Case) -> bool:
        try:
            parse_spec(self.spec(ingredient, case))
        except SpecInvalid:
            return False
        return True


def read_ablation(path: Path = LIST) -> Ablation:
    """Read the base and the ingredients from a file."""
    told: dict[str, Any] = load_document(path.read_text()).value
    return Ablation(told["base"], [Ingredient(**ingredient) for ingredient in told["ingredients"]])
