"""What every check works on: a small part of the search's data, a few networks of its space, and the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from foldstep.models.catalog.hyperparameters import REGISTRY
from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.catalog.preparation import Preparation
from foldstep.models.catalog.tasks import Task
from foldstep.models.hyperparameters import Hyperparameters, resolve
from foldstep.service.contract.space import Params
from foldstep.worker.data.inputs import FoldData, FoldSource
from foldstep.worker.settings import PACK_BYTES_CPU
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member

MAX_ROWS = 2000
"""Rows of each part of the fold that the checks look at."""
MAX_WIDTH = 128
"""Wider layers are cut to this: whether a network can be trained does not depend on the units beyond."""
MAX_WORK = 1_500_000
"""Most weights of all candidates together, to bound the time; candidates beyond it are left out."""

Variant = Callable[[FoldData], FoldData]


@dataclass(frozen=True)
class CheckSetting:
    """One search as the checks see it.

    Attributes:
        source: fold 0 alone, of at most `MAX_ROWS` rows a part, which all count alike.
        candidates: networks of the space, cut to a bounded size, with the seeds that they would train with.
        seed: the search's.
    """

    source: FoldSource
    candidates: tuple[Hyperparameters, ...]
    task: Task
    seed: int

    @classmethod
    def of(cls, source: FoldSource, params: Sequence[Params], task: Task, seed: int) -> CheckSetting:
        """Build the setting from some draws from the space.

        Args:
            source: the search's data, whole.
            params: draws from the search's space, the most important first.
            task: classification or regression.
            seed: the search's.
        """
        small = source.sample(MAX_ROWS, seed).unweighted()
        drawn = list(dict.fromkeys(_cut(resolve(p, seed=seed)) for p in params))
        sizes = [small.fold(0, hp.preparation).n_parameters(hp) for hp in drawn]
        return cls(small, tuple(_affordable(drawn, sizes)), task, seed)

    @property
    def is_classification(self) -> bool:
        """Whether the target is a class, or several labels."""
        return self.task != "regression"

    def data(self, hp: Hyperparameters) -> FoldData:
        """Prepare the data as a network with these hyperparameters sees it."""
        return self.source.fold(0, hp.preparation)

    def training(self, variants: Sequence[Variant], dtype: torch.dtype = torch.float32) -> Training:
        """Make the training on variants of the data: variant i is its fold i. Scores are log_loss, mse or pinball.

        It runs on the CPU, whatever the worker's device is: the same spec and data then give the same report.
        """
        has_quantiles = bool(self.data(self.candidates[0]).target.quantiles)
        metric = "log_loss" if self.is_classification else "pinball" if has_quantiles else "mse"
        engine = Engine(torch.device("cpu"), PACK_BYTES_CPU, dtype)
        return Training(_Variants(self.source, variants), metric, engine)


def _cut(hp: Hyperparameters) -> Hyperparameters:
    return replace(hp, hidden=tuple(min(width, MAX_WIDTH) for width in hp.hidden))


def _affordable(drawn: Sequence[Hyperparameters], sizes: Sequence[int]) -> list[Hyperparameters]:
    """Choose as many networks as `MAX_WORK` parameters allow, and the first one in any case."""
    taken = [drawn[0]]
    left = MAX_WORK - sizes[0]
    for hp, n_parameters in zip(drawn[1:], sizes[1:], strict=True):
        if n_parameters <= left:
            taken.append(hp)
            left -= n_parameters
    return taken


class _Variants:
    """A source whose folds are the variants of fold 0."""

    def __init__(self, source: FoldSource, variants: Sequence[Variant]) -> None:
        self._source, self._variants = source, variants
        self._made: dict[tuple[int, Preparation], FoldData] = {}

    def fold(self, index: int, how: Preparation) -> FoldData:
        key = (index, how)
        if key not in self._made:
            self._made[key] = self._variants[index](self._source.fold(0, how))
        return self._made[key]


def with_rows(data: FoldData, rows: np.ndarray) -> FoldData:
    """Keep only these training rows of the data."""
    exposure = None if data.exposure_train is None else data.exposure_train[rows]
    return replace(data, x_train=data.x_train[rows], y_train=data.y_train[rows], exposure_train=exposure)


def plain(hp: Hyperparameters, **changes: Any) -> Hyperparameters:
    """Remove what keeps a network from fitting: dropout, penalties, smoothing, weights, averaging, early stopping."""
    off: Mapping[str, Any] = {
        "dropout": (0.0,) * len(hp.hidden),
        "input_dropout": 0.0,
        "weight_decay": 0.0,
        "l1": 0.0,
        "label_smoothing": 0.0,
        "class_weight": "none",
        "ema_decay": 0.0,
        "swa_start": 0.0,
        "gradient_noise": 0.0,
        "mixup": 0.0,
        "input_mask": 0.0,
        "patience": 0,
        "on_divergence": "stop",
    }
    return replace(hp, **{**off, **changes})


def steady(hp: Hyperparameters, **changes: Any) -> Hyperparameters:
    """Build the network as `plain` does, with a learning rate at which nearly every network learns, and no schedule.

    For checks that do not test the learning rates of the space; `overfit` does that.
    """
    optimizer = OPTIMIZERS[hp.optimizer]
    own: Mapping[str, Any] = {
        "lr": optimizer.steady_lr * (1 - hp.momentum if optimizer.momentum_lengthens else 1),
        "muon_lr": REGISTRY["muon_lr"].default,
        "schedule": "constant",
        "warmup_epochs": 0,
        "first_layer_lr_factor": 1.0,
        "output_lr_factor": 1.0,
        "bias_lr_factor": 1.0,
        "activation_lr_factor": 1.0,
        "parametrization": "standard",
        "init": REGISTRY["init"].default if hp.parametrization == "ntk" else hp.init,  # its weights are about 1
        "scale_lr_with_batch": "none",
        "clip_norm": optimizer.steady_clip,
    }
    if optimizer.rule.takes_all_rows:
        changes = {**changes, "batch_size": hp.batch_size}
    return plain(replace(hp, **own), **changes)


def in_common(failing: Sequence[Hyperparameters], others: Sequence[Hyperparameters]) -> str | None:
    """Find the choice that all failing networks share and no other network has, in words; None if there is none."""
    for field in fields(Hyperparameters):
        values = [getattr(hp, field.name) for hp in failing]
        told = [getattr(hp, field.name) for hp in others]
        if told and all(value == values[0] for value in values) and values[0] not in told:
            return f"{field.name} {_word(values[0])}"
    return None


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return " × ".join(dict.fromkeys(_word(v) for v in value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def share(n: int, of: int | None = None) -> str:
    """Write a count of networks: `3 of 12 networks`, `12 networks`."""
    whole = n if of is None else of
    return f"{n}{'' if of is None else f' of {of}'} {'network' if whole == 1 else 'networks'}"


def finite(value: float) -> float | None:
    """Convert a number for a report: None if it is not finite."""
    return float(value) if np.isfinite(value) else None


def members(networks: Iterable[Hyperparameters], fold: int = 0, first: int = 0) -> list[Member]:
    """Make one member for each network, numbered in their order."""
    return [Member(number, fold, hp) for number, hp in enumerate(networks, start=first)]
