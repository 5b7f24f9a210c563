"""Rules between hyperparameters, and between them and the data: combinations that a space must not allow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial

from foldstep.models.catalog.kinds import Value
from foldstep.models.catalog.losses import LOSSES, LOSSES_OF_TASK, Loss
from foldstep.models.catalog.metrics import METRICS
from foldstep.models.catalog.norms import NORMS
from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.catalog.tasks import Task
from foldstep.models.hyperparameters import Hyperparameters, resolve
from foldstep.service.contract.bounds import MAX_COMBINATIONS
from foldstep.service.contract.errors import Fault, SpecInvalid
from foldstep.service.contract.hints import nearest
from foldstep.service.contract.reach import combinations
from foldstep.service.contract.space import Choices, Either, Fixed, FloatRange, IntRange, Space
from foldstep.service.contract.spec import Spec

_FEW_CLASSES = 100
"""Classes with which an unknown one is compared."""


def spec_faults(spec: Spec) -> Iterator[Fault]:
    """Find the contradictions in a spec that do not depend on the data."""
    if _can_have(
        spec.space, ("norm", "batch_size", "optimizer"), lambda hp: NORMS[hp.norm].over_rows and hp.batch_size == 1
    ):
        yield _fault(
            "parameters.batch_size",
            "at least 2 wherever norm is batch, for one row has no spread",
            "1",
            "raise batch_size, or give norm a condition: when: {batch_size: […]}",
        )
    if spec.data.quantiles is not None:
        yield from _quantile_faults(spec, spec.data.quantiles)
    has_one = spec.data.exposure is not None and len(spec.data.targets) < 2  # several have refused it before
    if has_one and _can_have(spec.space, ("loss",), lambda hp: hp.link != "log"):
        exposed = [name for name, loss in LOSSES.items() if loss.has_exposure]
        expected = f"loss: {', '.join(exposed[:-1])} or {exposed[-1]} in every trial"
        yield _fault("data.exposure", expected, "a loss without an exposure", "set parameters.loss: poisson")


def several_faults(spec: Spec) -> Iterator[Fault]:
    """Find what does not go with several targets, whatever their kind; a space without parameters has nothing."""
    names = spec.data.targets
    if len(names) < 2:
        if names and spec.data.task == "multilabel":
            hint = "set data.task: classification, or list the columns of the other labels"
            yield _fault("data.task", "several columns of labels for multilabel", f"{names[0]} alone", hint)
        return
    if twice := sorted({name for name in names if names.count(name) > 1}):
        yield Fault(code="named_twice", path="data.target", expected="each column once", got=twice[0])
    if spec.data.task == "classification":
        hint = "set data.task: multilabel, for which each column has two values"
        yield _fault("data.task", "multilabel or regression with several targets", "classification", hint)
    yield from _single_faults(spec)


def _single_faults(spec: Spec) -> Iterator[Fault]:
    """Find what only a single target has: quantiles, an exposure, class weights, some metrics and losses."""
    for key in ("quantiles", "exposure"):
        if getattr(spec.data, key) is not None:
            hint = f"leave data.{key} out, or run one search for each target"
            yield _fault(f"data.{key}", f"no {key} with several targets", str(getattr(spec.data, key)), hint)
    if spec.metric is not None and not METRICS[spec.metric.name].suits_any_target:
        suited = [name for name, metric in METRICS.items() if metric.suits_any_target]
        expected = "a metric that is averaged over several targets: " + ", ".join(suited)
        yield _fault("metric.name", expected, spec.metric.name)
    allowed = [name for name, loss in LOSSES.items() if loss.has_targets]
    for loss in _values(spec.space, "loss"):
        if loss not in allowed:
            yield _fault("parameters.loss", "a loss of several targets: " + ", ".join(allowed), str(loss))
    for name, nothing in (("class_weight", "none"), ("label_smoothing_to", "uniform")):
        if values := [value for value in _values(spec.space, name) if value != nothing]:
            yield _fault(f"parameters.{name}", f"no {name} with several targets", str(values[0]))


def _quantile_faults(spec: Spec, levels: list[float]) -> Iterator[Fault]:
    """Find quantiles that are out of order, losses that learn none, and a metric that scores none."""
    ordered = sorted(set(levels))
    if levels != ordered:
        hint = f"write them as {ordered}"
        yield Fault(code="out_of_order", path="data.quantiles", expected="each level once, the least first",
                    got=str(levels), hint=hint)  # fmt: skip
    if _can_have(spec.space, ("loss",), lambda hp: hp.loss is None or not LOSSES[hp.loss].has_levels):
        expected, hint = "loss: quantile in every trial", "set parameters.loss: quantile"
        yield _fault("data.quantiles", expected, "another loss", hint)
    if spec.metric is not None and not METRICS[spec.metric.name].has_levels:
        hint = "set metric: pinball, or leave it out"
        yield _fault("metric.name", "pinball, which scores quantiles", spec.metric.name, hint)


def range_notes(space: Space) -> Iterator[str]:
    """Say of each range whose steps do not end at its upper bound what its last value is."""
    for name, distribution in space.parameters.items():
        range_ = distribution.range if isinstance(distribution, Either) else distribution
        if isinstance(range_, FloatRange | IntRange) and range_.n_values is not None and not range_.log:
            assert range_.step is not None
            last = range_.value_at(range_.n_values - 1)
            if last != range_.high:
                yield (
                    f"{name}: steps of {range_.step:g} from {range_.low:g} end at {last:g}; {range_.high:g}, the upper "
                    f"bound, is none of its values."
                )


def task_faults(space: Space, task: Task) -> Iterator[Fault]:
    """Find the losses and class weights of a space that do not fit a task."""
    allowed = LOSSES_OF_TASK[task]
    for value in _values(space, "loss"):
        if value not in allowed:
            yield _fault("parameters.loss", f"a loss of {task}: {', '.join(allowed)}", str(value))
    weights = [value for value in _values(space, "class_weight") if value != "none"]
    if task == "regression" and weights:  # several labels have refused them before
        yield _fault("parameters.class_weight", "no class_weight with regression", str(weights[0]))
    for name in ("target_transform", "clamp_output"):
        values = [value for value in _values(space, name) if value != "none"]
        if task != "regression" and values:
            yield _fault(f"parameters.{name}", f"no {name} with {task}", str(values[0]))
        elif values and _can_have(space, ("loss", name), partial(_is_idle, name)):
            expected = f"no {name} with the losses poisson, gamma and tweedie, which predict the log of a mean"
            hint = "leave it out, or give it a condition: when: {loss: […]} without them"
            yield _fault(f"parameters.{name}", expected, str(values[0]), hint)


def _is_idle(name: str, hp: Hyperparameters) -> bool:
    """Tell whether a configuration has a value of a name of the target that its loss does not read."""
    return hp.link != "identity" and getattr(hp, name) != "none"


def embedding_faults(space: Space, kinds: Collection[str]) -> Iterator[Fault]:
    """Find embeddings of numeric columns in a space for a table without any; `kinds` are those of its features."""
    asked = [str(value) for value in _values(space, "number_embedding") if value != "none"]
    if asked and not {"number", "date"} & set(kinds):
        hint = "set number_embedding: none, which wins over a preset, too"
        yield _fault("parameters.number_embedding", "none, as no feature is numeric", asked[0], hint)


def class_faults(space: Space, classes: Collection[str]) -> Iterator[Fault]:
    """Find the weights for classes that the target does not have."""
    compared = classes if len(classes) <= _FEW_CLASSES else ()
    for value in _values(space, "class_weight"):
        for label in value if isinstance(value, dict) else ():
            if class_named(label, classes) is None:
                near = nearest(label, compared)
                hint = f"did you mean {near}?" if near else "the classes are " + ", ".join(sorted(classes)[:20])
                path = f"parameters.class_weight.{label}"
                yield Fault(code="unknown_class", path=path, expected="a class of the target", got=label, hint=hint)


def class_named(key: str, classes: Collection[str]) -> str | None:
    """Find the class that a key of `class_weight` names; None where it names none.

    `true` and `false` are booleans in any spelling: `true` names `True`, if there is no other class of that spelling.
    """
    if key in classes or key.lower() not in ("true", "false"):
        return key if key in classes else None
    alike = [label for label in classes if label.lower() == key.lower()]
    return alike[0] if len(alike) == 1 else None


def lbfgs_faults(space: Space, n_train: int) -> Iterator[Fault]:
    """Find out whether lbfgs can occur with mini-batches, which it does not support; it needs all training rows.

    Args:
        space: the space.
        n_train: number of rows of the greatest training part.
    """

    def is_cut(hp: Hyperparameters) -> bool:
        return OPTIMIZERS[hp.optimizer].rule.takes_all_rows and hp.batch_size < n_train

    if _can_have(space, ("optimizer", "batch_size"), is_cut):
        yield _fault(
            "parameters.batch_size",
            f"none for lbfgs, which then takes all rows at once, or at least the {n_train} rows of a training part",
            "fewer",
            "leave batch_size out, or give it a condition: when: {optimizer: […]} without lbfgs",
        )


def transforms_in(space: Space) -> set[str]:
    """List the transforms of the target that a space names."""
    return {str(name) for name in _values(space, "target_transform")}


def losses_in(space: Space) -> dict[str, Loss]:
    """List the losses that a space names, by name."""
    return {str(name): LOSSES[str(name)] for name in _values(space, "loss")}


def _can_have(space: Space, names: tuple[str, ...], holds: Callable[[Hyperparameters], bool]) -> bool:
    for i, params in enumerate(combinations(space, names)):
        if holds(resolve(params)):
            return True
        if i >= MAX_COMBINATIONS:
            expected = f"conditions (when) with at most {MAX_COMBINATIONS:,} combinations of " + ", ".join(names)
            raise SpecInvalid([Fault(code="too_large", path="parameters", expected=expected, got="more")])
    return False


def _values(space: Space, name: str) -> list[Value]:
    distribution = space.parameters.get(name)
    if distribution is None:
        return []
    if isinstance(distribution, Fixed):
        return [distribution.value]
    assert isinstance(distribution, Choices), f"{name} has no range"
    return list(distribution.choices)


def _fault(path: str, expected: str, got: str, hint: str | None = None) -> Fault:
    return Fault(code="contradiction", path=path, expected=expected, got=got, hint=hint)
