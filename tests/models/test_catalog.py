"""The tables against the code: every name has an implementation wherever it says so, and one without raises."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from foldstep.models import fnn, init, schedules, start
from foldstep.models.catalog.activations import ACTIVATIONS, Activation
from foldstep.models.catalog.hyperparameters import BIAS_MODES, INITS
from foldstep.models.catalog.losses import LOSSES
from foldstep.models.catalog.norms import NORMS
from foldstep.models.catalog.optimizers import FAMILIES, OPTIMIZERS
from foldstep.models.catalog.schedules import SCHEDULES
from foldstep.models.catalog.units import UNITS
from foldstep.models.compiled import build as building
from foldstep.models.compiled import interface
from foldstep.models.compiled.build import NotBuilt, build
from foldstep.models.eager import activations, losses, normalization, optim, pairs
from foldstep.models.fused import numbers
from foldstep.models.fused.numbers import bits
from tests.models import fnn as plain


@pytest.mark.parametrize(
    ("table", "implemented"),
    [
        (ACTIVATIONS, activations.ACTIVATIONS),
        (ACTIVATIONS, fnn.ACTIVATIONS),
        (ACTIVATIONS, plain._ACTIVATIONS),
        (LOSSES, losses.LOSSES | losses.LOSSES_WITH_NUMBER | losses.LOSSES_WITH_LEVELS | losses.LOSSES_OF_LABELS),
        ([name for name, loss in LOSSES.items() if loss.number], losses.LOSSES_WITH_NUMBER),
        (FAMILIES, optim.RULES),
        (NORMS, fnn.NORMS),
        (NORMS, plain._NORMS),
        (UNITS, fnn.JOINS),
        (UNITS, plain.UNITS),
        (UNITS, pairs.IS_GATED),
        ([name for name in NORMS if name != "none"], normalization._OVER_ROWS),
        (SCHEDULES, schedules._FACTORS),
        (INITS, init._INITS),
        (BIAS_MODES, start.BIASES),
    ],
)
def test_the_tables_and_the_code_have_the_same_names(table: Collection[str], implemented: Collection[str]) -> None:
    assert set(table) == set(implemented)


def test_every_optimizer_has_a_family() -> None:
    assert {optimizer.family for optimizer in OPTIMIZERS.values()} == set(FAMILIES)


@pytest.mark.parametrize("norm", NORMS)
def test_the_eager_backend_goes_over_what_the_table_says(norm: str) -> None:
    assert normalization._OVER_ROWS.get(norm, False) is NORMS[norm].over_rows


# -- a name that nobody has implemented -------------------------------------------------------------------------------


@pytest.mark.parametrize("enumeration", interface.ENUMERATIONS)
def test_the_compiled_backend_is_not_built(enumeration: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    named = {**interface.ENUMERATIONS, enumeration: [*interface.ENUMERATIONS[enumeration], "toy"]}
    monkeypatch.setattr(interface, "ENUMERATIONS", named)
    monkeypatch.setitem(ACTIVATIONS, "toy", Activation())  # type: ignore[arg-type]
    monkeypatch.setattr(building, "FLAGS", [flag for flag in building.FLAGS if flag != "-O3"])
    with pytest.raises(NotBuilt, match="toy"):
        build(tmp_path)


@pytest.mark.parametrize("enumeration", interface.ENUMERATIONS)
def test_the_compiled_backend_has_no_number_for_it(enumeration: str) -> None:
    with pytest.raises(KeyError, match=f"the compiled backend has no {enumeration.lower()} toy"):
        interface.number_of(enumeration, "toy")


@pytest.mark.parametrize("names", [numbers.ACTIVATION_NAMES, numbers.LOSS_NAMES, numbers.FAMILY_NAMES])
def test_the_fused_backend_has_no_bit_for_it(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="tuple"):
        bits(names, {"toy"})
