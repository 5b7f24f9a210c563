"""The hyperparameters that most benchmarks search; what differs from one to the other is what they say here."""

from __future__ import annotations

from typing import Any

DROPOUT = {"low": 0.0, "high": 0.5}
"""For searches whose other sides have it too."""


def ranges(*, lr: tuple[float, float], width: tuple[int, int], deepest: int, epochs: int) -> dict[str, Any]:
    """The `parameters` of a spec, but for the batch size and dropout.

    Args:
        lr: lowest and highest learning rate.
        width: the same of the width.
        deepest: most hidden layers.
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
