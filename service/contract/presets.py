"""The table of presets: published settings of networks for tables, in the form in which a spec has parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from foldstep.models.catalog.tasks import Task


@dataclass(frozen=True)
class Preset:
    """Settings of parameters under one name.

    Attributes:
        meaning: what it is, one line.
        source: where the settings are published.
        parameters: as a spec has them, for every task.
        of_task: what is added for one task.
        around: the preset whose settings a space is around: the first trial of a search has them.
        unlike: what of the published settings no hyperparameter expresses, or is otherwise here; one phrase each.
    """

    meaning: str
    source: str
    parameters: Mapping[str, Any]
    of_task: Mapping[Task, Mapping[str, Any]] = field(default_factory=dict)
    around: str | None = None
    unlike: tuple[str, ...] = ()

    def written(self, task: Task) -> dict[str, Any]:
        """Collect its parameters for a task, as a spec has them; those of several labels are those of classes."""
        return {**self.parameters, **self.of_task.get("classification" if task == "multilabel" else task, {})}


_REALMLP = {
    "hidden": [256, 256, 256],
    "parametrization": "ntk",
    "init": "data_normal",
    "bias_init_mode": "data",
    "activation_trained": "unit",
    "activation_lr_factor": 0.1,
    "dropout": 0.15,
    "dropout_schedule": "flat_cosine",
    "scaler": "robust_clip",
    "number_embedding": "pbld",
    "embedding_size": 4,
    "embedding_frequencies": 16,
    "embedding_sigma": 0.1,
    "embedding_lr_factor": 0.1,
    "embedding_min_values": 2,
    "max_one_hot": 8,
    "category_embedding_size": 8,
    "category_min_count": 1,
    "input_scale": "trained",
    "input_scale_lr_factor": 6.0,
    "optimizer": "adamw",
    "beta2": 0.95,
    "bias_lr_factor": 0.1,
    "weight_decay": 0.02,
    "decay_schedule": "flat_cosine",
    "bias_decay_factor": 0.0,
    "schedule": "coslog",
    "batch_size": 256,
    "epochs": 256,
}
_REALMLP_OF_TASK: dict[Task, dict[str, Any]] = {
    "classification": {"activation": "selu", "lr": 0.04, "label_smoothing": 0.1},
    "regression": {"activation": "mish", "lr": 0.2, "clamp_output": "train"},
}
_REALMLP_SPACE = {
    **_REALMLP,
    "hidden": [[256, 256, 256], [64, 64, 64, 64, 64], [512]],
    "number_embedding": ["none", "pbld", "periodic", "plr"],
    "input_scale": ["trained", "none"],
    "lr": {"low": 0.02, "high": 0.3, "log": True},
    "dropout": [0.0, 0.15, 0.3],
    "weight_decay": [0.0, 0.02],
    "embedding_sigma": {"low": 0.05, "high": 0.5, "log": True},
    "activation": ["relu", "selu", "mish"],
}
_REALMLP_UNLIKE = (
    "initial weights and biases fitted to 2,048 training rows at most, by the activations without dropout",
    "one-hot columns scaled and clipped as numbers are",
    "the rate factor of a part acts on its weight decay once, not twice",
    "a missing number is no error here: it becomes the median, with a flag",
)
_PLAIN = {
    "hidden": [256, 256, 256],
    "activation": "relu",
    "init": "uniform",
    "bias_init_mode": "uniform",
    "scaler": "quantile",
    "optimizer": "adam",
    "lr": 0.001,
    "batch_size": 256,
    "epochs": 256,
}
_PYTABKIT = "pytabkit 33cbf23, `pytabkit/models/sklearn/default_params.py`"
_PYTABKIT_SPACE = "pytabkit 33cbf23, `pytabkit/models/alg_interfaces/nn_interfaces.py`"

PRESETS: dict[str, Preset] = {
    "realmlp": Preset(
        "RealMLP with its defaults (TD): a strong network without tuning, in one trial",
        f"Holzmüller et al. (2024), arXiv 2407.04491; {_PYTABKIT}, RealMLP_TD_CLASS and RealMLP_TD_REG",
        _REALMLP,
        _REALMLP_OF_TASK,
        unlike=_REALMLP_UNLIKE,
    ),
    "realmlp_space": Preset(
        "a space around RealMLP's defaults, its authors' for tuning",
        f"Holzmüller et al. (2024), arXiv 2407.04491; {_PYTABKIT_SPACE}, RealMLPParamSampler, space default",
        _REALMLP_SPACE,
        {"classification": {"label_smoothing": [0.0, 0.1]}, "regression": {"clamp_output": "train"}},
        around="realmlp",
        unlike=(*_REALMLP_UNLIKE, "unequal probabilities of its choices (equal here)"),
    ),
    "tabpack": Preset(
        "TabPack's space: many plain networks with different settings, best as a committee, by method: random",
        "Gorishniy et al. (2026), arXiv 2607.05380; yandex-research/tabpack eeb42cd, `experiments/tabpack/make.py`",
        {
            "depth": {"low": 1, "high": 4},
            "width": 384,
            "activation": "relu",
            "init": "uniform",
            "dropout": {"low": 0.01, "high": 0.5, "or": 0.0},
            "optimizer": "muon",
            "lr": {"low": 0.0001, "high": 0.005, "log": True},
            "muon_lr": {"low": 0.001, "high": 0.1, "log": True},
            "weight_decay": {"low": 0.001, "high": 1.0, "log": True},
            "bias_decay_factor": 0.0,
            "scaler": "quantile",
            "quantile_noise": 0.00001,
            "batch_size": 256,
            "epochs": 1000,
            "patience": 16,
            "precision": "bfloat16",
        },
        unlike=(
            "half of its networks have no dropout, a quarter here",
            "no greatest number of epochs (1,000 here)",
            "batches of 512 and 1,024 rows on its larger tables; set batch_size",
            "at most a quantile for each 30 rows, and noise in the columns' own units (in standard deviations here)",
        ),
    ),
    "plain": Preset(
        "a plain network as libraries have it: a baseline",
        f"{_PYTABKIT}, VANILLA_MLP_CLASS and VANILLA_MLP_REG",
        _PLAIN,
    ),
    "plain_space": Preset(
        "a small space of plain networks",
        f"{_PYTABKIT_SPACE}, RealMLPParamSampler, space probclass-mlp",
        {
            **_PLAIN,
            "optimizer": "adamw",
            "lr": {"low": 0.0001, "high": 0.01, "log": True},
            "dropout": [0.0, 0.1, 0.2, 0.3],
            "weight_decay": [0.0, 0.00001, 0.0001, 0.001],
        },
        around="plain",
    ),
}
"""By the name in `parameters.preset`."""
