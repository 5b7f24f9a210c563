"""Rules between hyperparameters, and between them and the data: combinations that a space must not allow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from foldstep.models.catalog.losses import LOSSES, LOSSES_OF_TASK
from foldstep.models.catalog.norms import NORMS
from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.catalog.tasks import Task
from foldstep.models.hyperparameters import Hyperparameters, Value, resolve
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
    if spec.data.exposure is not None and _can_have(spec.space, ("loss",), lambda hp: hp.link != "log"):
        got = "a loss without an exposure"
        yield _fault("data.exposure", "loss: poisson in every trial", got, "set parameters.loss: poisson")


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
    if task == "regression" and weights:
        yield _fault("parameters.class_weight", "no class_weight with regression", str(weights[0]))


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


def can_be_poisson(space: Space) -> bool:
    """Tell whether a trial may have a loss for counts (Poisson)."""
    return any(LOSSES[str(loss)].counts for loss in _values(space, "loss"))


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
