"""Functions to minimise: one smooth, one with choices and conditions."""

from __future__ import annotations

import math

from foldstep.service.contract.space import Choices, FloatRange, IntRange, Params, Space

BRANIN = Space(
    parameters={"lr": FloatRange(low=1e-5, high=1e10, log=True), "dropout": FloatRange(low=0.0, high=15.0)}
)  # fmt: skip
MIXED = Space(
    parameters={
        "momentum": FloatRange(low=0.5, high=0.99, when={"optimizer": ["sgd"]}),
        "optimizer": Choices(choices=["sgd", "adam", "adamw"]),
        "lr": FloatRange(low=1e-6, high=10.0, log=True),
        "hidden": Choices(choices=[[64], [128, 128], [256, 128]]),
        "width": IntRange(low=16, high=256, log=True),
        "dropout": FloatRange(low=0.0, high=0.8, step=0.1),
        "beta1": FloatRange(low=0.8, high=0.99, when={"optimizer": ["adam", "adamw"]}),
    }
)


def _number(params: Params, name: str) -> float:
    return float(str(params[name]))


def branin(params: Params) -> float:
    """Compute Branin's function (Dixon and Szegő 1978) less its minimum; its first coordinate is log10 of `lr`."""
    x, y = math.log10(_number(params, "lr")), _number(params, "dropout")
    inner = y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6
    return inner**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 - 0.397887


def mixed(params: Params) -> float | None:
    """Compute a loss that is least with sgd, momentum 0.9, lr 0.01, [128, 128], width 100 and dropout 0.3.

    Large learning rates diverge: the loss is None.
    """
    exponent = math.log10(_number(params, "lr"))
    if exponent > 0.5:
        return None
    loss = (exponent + 2) ** 2 + 4 * (_number(params, "dropout") - 0.3) ** 2
    loss += 0.3 * abs(math.log(_number(params, "width") / 100)) + (params["hidden"] != [128, 128]) * 0.5
    if params["optimizer"] == "sgd":
        return loss + 10 * abs(_number(params, "momentum") - 0.9)
    return loss + 0.4 + 2 * abs(_number(params, "beta1") - 0.9)
