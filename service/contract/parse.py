"""Parses what a user wrote (YAML, JSON, a mapping) into a `Spec`, or reports all faults at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from foldstep.models.catalog.metrics import metrics_of
from foldstep.service.contract.bounds import check_values
from foldstep.service.contract.document import load_document
from foldstep.service.contract.errors import MAX_FAULTS, Fault, SpecInvalid
from foldstep.service.contract.expansion import PROVISIONAL, beside, preset_faults, use_of
from foldstep.service.contract.final_rules import final_faults
from foldstep.service.contract.hints import unknown_key, unlisted, value_hint
from foldstep.service.contract.methods import METHODS, learning_methods, staged_methods
from foldstep.service.contract.parameters import parse_parameters
from foldstep.service.contract.rules import several_faults, spec_faults
from foldstep.service.contract.space import Distribution, Fixed, Space
from foldstep.service.contract.spec import LEFT_OUT, MAX_GRID_POINTS, NOT_WRITTEN, LeftOut, PresetUse, Spec, Task

NOT_YET = {
    "final.distill": "one network trained on the ensemble's answers",
}
"""Keys of specs that this version does not support and refuses: path to description."""


def load_text(text: str) -> Any:
    """Read YAML or JSON; see `load_document`, which also knows the lines.

    Raises:
        SpecInvalid: the text is neither, has a key twice, or has too many values.
    """
    return load_document(text).value


def parse_spec(raw: Any) -> Spec:
    """Validate a spec as a whole and convert it to a record.

    Raises:
        SpecInvalid: the spec has faults; all are listed, each with its path.
    """
    if not isinstance(raw, Mapping):
        raise SpecInvalid([Fault(code="wrong_type", path="", expected="a mapping", got=type(raw).__name__)])
    check_values(raw)
    rest = {str(k): v for k, v in raw.items() if k != "parameters"}
    if isinstance(rest.get("metric"), str):
        rest["metric"] = {"name": rest["metric"]}
    not_yet = _take_not_yet(rest)
    parameters, preset, faults = _parameters(raw.get("parameters", {}), rest.get("data"))
    left_out = [] if "parameters" in raw else [key for key in LEFT_OUT if key not in raw]
    spec, structure = _validate(rest, Space(parameters=parameters if not faults else {}), preset, left_out)
    faults = structure + faults + not_yet
    if spec is not None:
        faults += cross_faults(spec, complete=not faults)
    if faults or spec is None:
        raise SpecInvalid(faults)
    return spec


def _parameters(raw: Any, data: Any) -> tuple[dict[str, Distribution], PresetUse | None, list[Fault]]:
    """Read the parameters, and the preset among them; the space has both."""
    if not isinstance(raw, Mapping) or "preset" not in raw:
        found, faults = parse_parameters(raw)
        return found, None, faults
    name, rest = raw["preset"], {key: value for key, value in raw.items() if key != "preset"}
    if faults := preset_faults(name):
        return {}, None, faults + parse_parameters(rest)[1]
    given = data.get("task") if isinstance(data, Mapping) else None
    task: Task = next((task for task in get_args(Task) if task == given), PROVISIONAL)
    beside_preset = partial(beside, preset=name, task=task)
    own, faults = parse_parameters(rest, beside_preset)
    return beside_preset(own), use_of(name, own), faults


def _take_not_yet(rest: dict[str, Any]) -> list[Fault]:
    """Remove the keys of `NOT_YET` from `rest`, and return a fault for each."""
    faults = []
    for path, what in NOT_YET.items():
        holder: Any = rest
        *outer, key = path.split(".")
        for name in outer:
            holder = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and key in holder:
            holder.pop(key)
            faults.append(_not_yet(path, what))
    return faults


def _not_yet(path: str, what: str) -> Fault:
    return Fault(
        code="not_available",
        path=path,
        expected="nothing",
        got=what,
        hint="this version does not have it, leave it out",
    )


def _validate(
    rest: dict[str, Any], space: Space, preset: PresetUse | None, left_out: list[LeftOut]
) -> tuple[Spec | None, list[Fault]]:
    if "space" in rest:
        return None, [unknown_key("space", "space", ["parameters"])]
    if "preset" in rest:
        return None, [unknown_key("preset", "preset", ["parameters.preset"])]
    if "left_out" in rest:
        return None, [unknown_key("left_out", "left_out", _known_keys([]))]
    try:
        return Spec.model_validate({**rest, "space": space, "preset": preset, "left_out": left_out}), []
    except ValidationError as error:
        found = error.errors(include_url=False)
        listed = [_fault_of(e, rest) for e in found[:MAX_FAULTS]]
        return None, listed + [unlisted()] * (len(found) - len(listed))


def _fault_of(error: Any, rest: Mapping[str, Any]) -> Fault:
    # pydantic puts the tag of a union's member into the location; a user's path has keys and indices only
    loc = _user_path(error["loc"], rest, is_missing=error["type"] == "missing")
    path = ".".join(map(str, loc))
    if error["type"] == "extra_forbidden":
        return unknown_key(path, str(loc[-1]), _known_keys(loc[:-1]))
    if error["type"] == "missing":
        return Fault(code="missing", path=path, expected="a value")
    expected = str(error["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    code = "wrong_type" if error["type"].endswith("_type") else "out_of_domain"
    hint = None
    if error["type"] == "string_type" and isinstance(error["input"], bool | int | float):
        hint = "put it in quotes if it is a name"
    if error["type"] == "literal_error":
        hint = value_hint(path, error["input"], re.findall(r"'([^']*)'", str(error["ctx"]["expected"])))
    if error["type"] == "model_type":
        expected, hint = "a mapping of keys to values", _example(path)
    if path in ("budget.time", "budget.trial_time"):
        hint = "write seconds, or 90s, 10m, 2h"
    if path == "method":
        expected = "one of " + ", ".join(METHODS)
    if path == "name":
        expected = "1 to 64 letters, digits, dots, underscores or dashes, a letter or digit first"
    return Fault(code=code, path=path, expected=expected, got=repr(error["input"]), hint=hint)


def _example(path: str) -> str | None:
    """Show the form of a part of a spec that was given as a bare value."""
    examples = {"cv": "cv: {folds: 5}", "budget": "budget: {trials: 50}", "early_stop": "early_stop: {rungs: asha}",
                "final": "final: {ensemble: none}", "final.threshold": "threshold: {metric: f1}"}  # fmt: skip
    return f"as {examples[path]}" if path in examples else None


def _user_path(loc: tuple[Any, ...], rest: Any, *, is_missing: bool) -> list[Any]:
    path: list[Any] = []
    for i, part in enumerate(loc):
        if (isinstance(rest, Mapping) and part in rest) or (
            isinstance(rest, list) and isinstance(part, int) and part < len(rest)
        ):
            rest = rest[part]
        elif not (is_missing and i == len(loc) - 1):
            continue  # the tag of a union's member
        path.append(part)
    return path


def _known_keys(loc: list[Any]) -> list[str]:
    model: type[BaseModel] = Spec
    for part in loc:
        if isinstance(part, str):
            model = next(_models_in(model.model_fields[part].annotation))
    names = [info.alias or name for name, info in model.model_fields.items()]
    if model is Spec:
        names = [name for name in names if name not in NOT_WRITTEN]
    return ["parameters" if name == "space" else name for name in names]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def cross_faults(spec: Spec, *, complete: bool = True) -> list[Fault]:
    """Find the faults between parts of a spec; those about the space only when it was read completely."""
    faults = _cv_faults(spec) + _task_faults(spec) + _stage_faults(spec) + _early_faults(spec) + _batch_faults(spec)
    faults += [*_continue_faults(spec), *several_faults(spec), *final_faults(spec)]
    if complete:
        faults += spec_faults(spec)
    if complete and METHODS[spec.method].enumerates:
        faults += _grid_faults(spec)
    return faults


def _cv_faults(spec: Spec) -> list[Fault]:
    cv = spec.cv
    given = [n for n in ("folds", "holdout", "column") if getattr(cv, n) is not None]
    faults = []
    if len(given) != 1:
        got = " and ".join(given) or None
        faults.append(Fault(code="contradiction", path="cv", expected="one of folds, holdout or column", got=got))
    single = [n for n in ("group", "time") if getattr(cv, n) is not None]
    if len(single) == 2:
        faults.append(Fault(code="contradiction", path="cv", expected="group or time", got="both"))
    for name, why in (("column", "given folds"), ("time", "time order")):
        if getattr(cv, name) is not None and cv.repeats > 1:
            faults.append(Fault(code="contradiction", path="cv.repeats", expected=f"1 with {why}", got=str(cv.repeats)))
    if cv.outer is not None:
        faults += _outer_faults(spec)
    if cv.column is not None and spec.final.refit is not None:
        expected = "no refit with given folds, as a part of one of them cannot be left out"
        hint = "leave final.refit out: the networks of the folds predict"
        faults.append(Fault(code="contradiction", path="final.refit", expected=expected, got="refit", hint=hint))
    if cv.stratify and (spec.data.task == "regression" or len(spec.data.targets) > 1 or cv.time or cv.column):
        expected = "no stratify with regression, several targets, time order or given folds"
        faults.append(Fault(code="contradiction", path="cv.stratify", expected=expected, got="true"))
    return faults


def _outer_faults(spec: Spec) -> list[Fault]:
    """Find the faults of outer folds: they are drawn at random, and hold out each row once."""
    beside = {"cv.time": spec.cv.time, "cv.column": spec.cv.column, "data.test": spec.data.test}
    given = [path for path, value in beside.items() if value is not None]
    if not given:
        return []
    expected = "no outer folds in time order, with given folds or with a test part"
    return [Fault(code="contradiction", path="cv.outer", expected=expected, got=" and ".join(given))]


def _task_faults(spec: Spec) -> list[Fault]:
    task, metric = spec.data.task, spec.metric
    if task is None or metric is None or metric.name in metrics_of(task):
        return []
    expected = f"a metric of {task}: " + ", ".join(metrics_of(task))
    return [Fault(code="contradiction", path="metric.name", expected=expected, got=metric.name)]


def _stage_faults(spec: Spec) -> list[Fault]:
    faults, is_staged = [], METHODS[spec.method].is_staged
    if spec.stages and not is_staged:
        faults.append(
            Fault(code="contradiction", path="stages", expected="no stages", got="stages",
                  hint="set method: " + " or ".join(staged_methods()))
        )  # fmt: skip
    total = sum(s.trials for s in spec.stages)
    if spec.stages and spec.budget.trials not in (None, total):
        faults.append(
            Fault(code="contradiction", path="budget.trials", expected=f"{total}, the sum of the stages' trials",
                  got=str(spec.budget.trials))
        )  # fmt: skip
    epochs = spec.space.parameters.get("epochs")
    if is_staged and epochs is not None and not isinstance(epochs, Fixed):
        faults.append(
            Fault(code="contradiction", path="parameters.epochs", expected="a fixed number, as stages set the epochs",
                  got=epochs.kind)
        )  # fmt: skip
    return faults


def _continue_faults(spec: Spec) -> Iterator[Fault]:
    """Find the faults of stages with `continue`.

    Such a stage needs one before it, more epochs than that, and no early stopping, so that trials train all epochs.
    """
    for i, stage in enumerate(spec.stages):
        path = f"stages.{i}"
        if stage.continues and i == 0:
            expected = "no continue in the first stage, which has none before it"
            hint = "set it in a later stage"
            yield Fault(code="contradiction", path=f"{path}.continue", expected=expected, got="true", hint=hint)
        elif stage.continues and stage.epochs <= (before := spec.stages[i - 1].epochs):
            expected = f"more than {before}, the epochs of the stage that this one continues"
            hint = "raise them, or leave continue out"
            yield Fault(
                code="contradiction", path=f"{path}.epochs", expected=expected, got=str(stage.epochs), hint=hint
            )
        if stage.continues and spec.early_stop is not None:
            expected = "no continue with early_stop, whose rungs compare trials that begin alike"
            hint = "leave one of the two out"
            yield Fault(code="contradiction", path=f"{path}.continue", expected=expected, got="true", hint=hint)


def _early_faults(spec: Spec) -> list[Fault]:
    """Find the faults of `race_folds` with a holdout, and of `warm_start` with a method that trains every point."""
    faults = []
    if spec.early_stop is not None and spec.early_stop.race_folds and spec.cv.holdout is not None:
        expected = "no race_folds with a holdout, which is a single fold"
        faults.append(Fault(code="contradiction", path="early_stop.race_folds", expected=expected, got="true"))
    if spec.warm_start is not None and METHODS[spec.method].enumerates:
        expected = f"no warm_start with a {spec.method}, which trains every point anyway"
        got = spec.warm_start if isinstance(spec.warm_start, str) else "configurations"
        faults.append(Fault(code="contradiction", path="warm_start", expected=expected, got=got))
    return faults


def _batch_faults(spec: Spec) -> list[Fault]:
    if spec.batch is None or METHODS[spec.method].learns:
        return []
    expected = f"no batch with method: {spec.method}"
    hint = "batches are for methods that learn from results: " + ", ".join(learning_methods())
    return [Fault(code="contradiction", path="batch", expected=expected, got=str(spec.batch), hint=hint)]


def _grid_faults(spec: Spec) -> list[Fault]:
    faults, n_points = [], 1
    for name, distribution in spec.space.parameters.items():
        n_values = distribution.grid_size
        if n_values is None:
            faults.append(
                Fault(code="no_grid", path=f"parameters.{name}", expected="a list of values, or a range with a step",
                      got="a range without steps")
            )  # fmt: skip
        else:
            n_points *= n_values
    if n_points > MAX_GRID_POINTS and (spec.budget.trials is None or spec.budget.trials > MAX_GRID_POINTS):
        faults.append(
            Fault(code="grid_too_large", path="parameters", expected=f"at most {MAX_GRID_POINTS:,} points",
                  got=f"{n_points:,}" if n_points < 10**15 else "more", hint="take fewer values, or method: random")
        )  # fmt: skip
    return faults
