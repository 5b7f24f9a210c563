"""The optimizers, and the families of update rules that they are.

A family is one formula; its optimizers differ in the numbers that go into it (`models.updates`). A new optimizer of a
family is a row here; a new family is a row here and its formula in every backend that it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from foldstep.models.catalog.backends import EVERY_BACKEND, ONLY_EAGER, Backend


@dataclass(frozen=True)
class Family:
    """One update formula.

    Attributes:
        moments: what it remembers of every parameter, by the names of the stacks.
        backends: where it is implemented; the eager backend has all of them.
        takes_all_rows: whether a step wants the whole training part at once.
        history: pairs of a step and the gradient's change that it remembers of every parameter, besides its moments.
    """

    moments: tuple[str, ...]
    backends: frozenset[Backend] = EVERY_BACKEND
    takes_all_rows: bool = False
    history: int = 0


FAMILIES: Mapping[str, Family] = {
    "sgd": Family(moments=("first",)),
    "rms": Family(moments=("first", "second")),
    "adam": Family(moments=("first", "second")),
    "lbfgs": Family(moments=("first",), backends=ONLY_EAGER, takes_all_rows=True, history=10),
}


@dataclass(frozen=True)
class Optimizer:
    """One optimizer.

    Attributes:
        family: its formula, in `FAMILIES`.
        steady_lr: a rate with which nearly every network learns.
        lr: the learning rate where a spec names none.
        momentum: the momentum where a spec names none.
        uses_momentum: whether the formula reads the hyperparameter.
        momentum_lengthens: whether a steady gradient's step is 1 / (1 - momentum) times as long.
        nesterov: whether the gradient is looked at ahead (Sutskever et al. 2013).
        forgets_squares: whether squares of gradients are a running average (by `rho`) instead of a sum.
        decouples_decay: whether weights decay by themselves, not through the gradient (Loshchilov and Hutter 2019).
        steady_clip: the greatest norm of a gradient at that steady rate; 0 for any.
    """

    family: str
    steady_lr: float
    lr: float = 1e-3
    momentum: float = 0.0
    uses_momentum: bool = False
    momentum_lengthens: bool = False
    nesterov: bool = False
    forgets_squares: bool = False
    decouples_decay: bool = False
    steady_clip: float = 0.0

    @property
    def rule(self) -> Family:
        """The formula that it is one of."""
        return FAMILIES[self.family]


def _heavy_ball(*, momentum: float = 0.0, nesterov: bool = False) -> Optimizer:
    return Optimizer(
        "sgd", 0.1, momentum=momentum, uses_momentum=True, momentum_lengthens=True, nesterov=nesterov, steady_clip=1.0
    )


OPTIMIZERS: Mapping[str, Optimizer] = {
    "sgd": _heavy_ball(),
    "momentum": _heavy_ball(momentum=0.9),
    "nesterov": _heavy_ball(momentum=0.9, nesterov=True),
    "adagrad": Optimizer("rms", 0.05),
    "rmsprop": Optimizer("rms", 0.003, uses_momentum=True, forgets_squares=True),
    "adam": Optimizer("adam", 0.01),
    "adamw": Optimizer("adam", 0.01, decouples_decay=True),
    "lbfgs": Optimizer("lbfgs", 1.0, lr=1.0),
}
"""By the value of the hyperparameter `optimizer`, in the order of the documentation."""


def families_of(backend: Backend) -> tuple[str, ...]:
    """List the families that a backend implements, in the table's order, which numbers them."""
    return tuple(name for name, family in FAMILIES.items() if backend in family.backends)
