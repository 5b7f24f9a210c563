"""What a preset means beside the parameters that a spec has: those that it sets, and the sentences that say so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from foldstep.models.catalog.hyperparameters import lookup
from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.errors import Fault
from foldstep.service.contract.hints import nearest
from foldstep.service.contract.parameters import read_parameter
from foldstep.service.contract.presets import PRESETS
from foldstep.service.contract.space import Choices, Distribution, Either, Fixed, Space
from foldstep.service.contract.spec import PresetUse, Spec

PROVISIONAL: Task = "classification"
"""The task that a preset is read for until the data tell it."""
_INSTEAD = {"hidden": ("depth", "width"), "depth": ("hidden",), "width": ("hidden",)}
"""Parameters of a preset that one written beside it replaces; layers are given in one of two forms."""


def preset_faults(given: Any) -> list[Fault]:
    """Find the fault of what is written as `parameters.preset`."""
    if isinstance(given, str) and given in PRESETS:
        return []
    near = nearest(given, PRESETS) if isinstance(given, str) else None
    hint = None if near is None else f"did you mean {near}?"
    expected = "one of " + ", ".join(PRESETS)
    return [Fault(code="out_of_domain", path="parameters.preset", expected=expected, got=repr(given), hint=hint)]


def sets(preset: str, task: Task) -> dict[str, Distribution]:
    """Read the parameters that a preset sets.

    Raises:
        ValueError: the table of presets names a parameter, or a value of one, that there is not.
    """
    return {name: _read(preset, name, value) for name, value in PRESETS[preset].written(task).items()}


def _read(preset: str, name: str, value: Any) -> Distribution:
    row = lookup(name)
    distribution = None if row is None else read_parameter(name, row, value)[0]
    if distribution is None:
        raise ValueError(f"the preset {preset} has {name}: {value}, which no hyperparameter takes")
    return distribution


def beside(own: Mapping[str, Distribution], preset: str, task: Task) -> dict[str, Distribution]:
    """Put a preset's parameters beside those that a spec has, which win."""
    replaced = {*own, *(other for name in own for other in _INSTEAD.get(name, ()))}
    kept = {name: distribution for name, distribution in sets(preset, task).items() if name not in replaced}
    return {**kept, **own}


def for_task(spec: Spec, task: Task) -> Spec:
    """Read a spec's preset for the task that its data have; the same spec where it has no preset."""
    if spec.preset is None:
        return spec
    own = {name: spec.space.parameters[name] for name in spec.preset.own}
    return spec.model_copy(update={"space": Space(parameters=beside(own, spec.preset.name, task))})


def asked_for(spec: Spec, task: Task) -> list[str]:
    """List the parameters that a spec sets itself, in its order: with a preset, those that it sets to something else.

    A spec that was written out whole has the preset's settings, too; they are not looked at more closely than in it.
    """
    if spec.preset is None:
        return list(spec.space.parameters)
    of_preset = sets(spec.preset.name, task)
    return [name for name in spec.preset.own if spec.space.parameters[name] != of_preset.get(name)]


def preset_notes(spec: Spec, task: Task) -> Iterator[str]:
    """Say what a spec's preset sets, what wins over it, and what of the published settings is otherwise here."""
    if spec.preset is None:
        return
    name, own = spec.preset.name, spec.preset.own
    of_preset = sets(name, task)
    told = ", ".join(f"{p} {in_words(d)}" for p, d in of_preset.items() if spec.space.parameters.get(p) == d)
    yield f"The preset {name} sets for {task}: {told}."
    for parameter in own:
        if parameter in of_preset and of_preset[parameter] != spec.space.parameters[parameter]:
            mine, other = (in_words(space[parameter]) for space in (spec.space.parameters, of_preset))
            yield f"{parameter} is {mine}, as written, in place of {other} of the preset {name}."
    for parameter in of_preset:
        if parameter not in spec.space.parameters:
            yield f"{parameter} of the preset {name} is left out, for the layers are written in another form."
    if PRESETS[name].unlike:
        yield f"Unlike what is published for {name}: {'; '.join(PRESETS[name].unlike)}."


def in_words(distribution: Distribution) -> str:
    """Write a distribution in few words: `0.01`, `0.001 to 0.1 (log)`, `relu or selu`."""
    if isinstance(distribution, Fixed):
        return str(distribution.value)
    if isinstance(distribution, Choices):
        return " or ".join(map(str, distribution.choices))
    if isinstance(distribution, Either):
        return f"{in_words(distribution.range)} or {' or '.join(map(str, distribution.extra))}"
    return f"{distribution.low:g} to {distribution.high:g}{' (log)' if distribution.log else ''}"


def use_of(preset: str, own: Mapping[str, Distribution]) -> PresetUse:
    """Make the record of a preset beside a spec's own parameters."""
    return PresetUse(name=preset, own=list(own))
