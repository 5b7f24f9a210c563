"""The ranges of hyperparameters that most benchmarks search; the arguments are what differs between benchmarks."""

from __future__ import annotations

from typing import Any

DROPOUT = {"low": 0.0, "high": 0.5}
"""Range of dropout, for the searches whose competitors have dropout too."""


def ranges(*, lr: tuple[float, float], width: tuple[int, int], deepest: int, epochs: int) -> dict[str, Any]:
    """Make the `parameters` of a spec, without the batch size and dropout.

    Args:
        lr: lowest and highest learning rate.
        width: lowest and highest width of a hidden layer.
        deepest: largest number of hidden layers.
        epochs: of every trial.
    """
    return {
        "lr": {"low": lr[0], "high": lr[1], "log": True},
        "width": {"low": width[0], "high": width[1], "log": True},
        "depth": list(range(1, deepest + 1)),
        "activation": ["relu", "tanh"],
        "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
        "epochs": epochs,
    }
