"""The optimizers and their families of update rules.

A family is one formula; its optimizers differ in their coefficients (`models.updates`). A new optimizer of a
family is a row here; a new family is a row here and its formula in every backend of that row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from foldstep.models.catalog.backends import EVERY_BACKEND, NOT_FUSED, ONLY_EAGER, Backend


@dataclass(frozen=True)
class Family:
    """One update formula.

    Attributes:
        moments: the moments that it keeps of every parameter, by the names of the stacks.
        backends: the backends that implement it; the eager backend implements every family.
        takes_all_rows: whether a step uses the whole training part as its batch, by default.
        uses_betas: whether the formula reads `beta1`, `beta2` and `eps`; members that share them lie side by side.
        history: number of pairs (step, change of the gradient) that it keeps of every parameter, beside the moments.
    """

    moments: tuple[str, ...]
    backends: frozenset[Backend] = EVERY_BACKEND
    takes_all_rows: bool = False
    uses_betas: bool = False
    history: int = 0


FAMILIES: Mapping[str, Family] = {
    "sgd": Family(moments=("first",)),
    "rms": Family(moments=("first", "second")),
    "adam": Family(moments=("first", "second"), uses_betas=True),
    "muon": Family(moments=("first", "second"), backends=NOT_FUSED, uses_betas=True),
    "lbfgs": Family(moments=("first",), backends=ONLY_EAGER, takes_all_rows=True, history=10),
}


@dataclass(frozen=True)
class Optimizer:
    """One optimizer.

    Attributes:
        family: its formula, in `FAMILIES`.
        steady_lr: a learning rate with which nearly every network learns.
        lr: the default of the hyperparameter `lr`.
        momentum: the default of the hyperparameter `momentum`.
        uses_momentum: whether the formula depends on the hyperparameter `momentum`.
        momentum_lengthens: whether momentum makes steps 1 / (1 - momentum) times as long under a constant gradient.
        nesterov: whether it uses Nesterov's momentum (Sutskever et al. 2013).
        forgets_squares: whether it keeps a running average (by `rho`) of squared gradients instead of their sum.
        decouples_decay: whether weights are decayed directly, not through the gradient (Loshchilov and Hutter 2019).
        steady_clip: norm to which gradients are clipped together with `steady_lr`; 0 for no clipping.
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
        """The family, as a row of `FAMILIES`."""
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
    "muon": Optimizer("muon", 0.01, momentum=0.95, uses_momentum=True, nesterov=True, decouples_decay=True),
    "lbfgs": Optimizer("lbfgs", 1.0, lr=1.0),
}
"""By the value of the hyperparameter `optimizer`, in the order of the documentation."""


def families_of(backend: Backend) -> tuple[str, ...]:
    """List the families that a backend implements, in the order of the table; the kernels number them in this order."""
    return tuple(name for name, family in FAMILIES.items() if backend in family.backends)
