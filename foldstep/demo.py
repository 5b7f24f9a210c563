"""The spec of `foldstep demo`; `examples/digits.yaml` is the same in YAML."""

from __future__ import annotations

from typing import Any

DEMO_SPEC: dict[str, Any] = {
    "name": "digits-demo",
    "method": "coarse_to_fine",
    "seed": 1,
    "data": {"dataset": "digits"},
    "cv": {"folds": 5},
    "metric": {"name": "accuracy"},
    "parameters": {
        "lr": {"low": 1e-4, "high": 1e-2, "log": True},
        "width": {"low": 32, "high": 128, "log": True},
        "depth": [1, 2],
        "activation": ["relu", "tanh"],
        "dropout": {"low": 0.0, "high": 0.5},
        "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
        "batch_size": 64,
    },
    "checks": {"before": True},
    "stages": [
        {"epochs": 2, "trials": 60},
        {"epochs": 8, "trials": 24},
        {"epochs": 40, "trials": 8},
    ],
}
