"""Train one network with stock `torch.nn` and `torch.optim`: the reference for every packed feature.

It shares with the packed engine only the inputs of the comparison: initial weights, data order, noise, and the learning
rate schedule (which its own tests compare with PyTorch's schedulers).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from foldstep.models.catalog.metrics import METRICS
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.metrics import score_classes, score_values
from foldstep.models.noise import Stream, counters, dropout_noise, threshold
from foldstep.models.schedules import factors, plateau_factor
from foldstep.worker.data.inputs import FoldData
from foldstep.worker.feed.shapes import columns_of, effective_batch
from foldstep.worker.train.stopping import MAX_RESTARTS, RESTART_FACTOR
from tests.models.fnn import FNN
from tests.oracle.single_lbfgs import SingleLBFGS


@dataclass(frozen=True)
class SingleResult:
    """The result of one training: mean training loss and validation score of each epoch; the network after the last."""

    train_loss: list[float]
    scores: list[float]
    net: FNN


def train_single(
    hp: Hyperparameters,
    fold: int,
    data: FoldData,
    metric: str,
    dtype: torch.dtype = torch.float64,
    *,
    shift: float = 0.0,
) -> SingleResult:
    """Train a network for `hp.epochs` epochs, without early stopping.

    Args:
        hp: the configuration.
        fold: number of the fold, which selects the random stream.
        data: rows of the fold.
        metric: of the validation part.
        dtype: of parameters and data.
        shift: the initial weights w become w (1 + shift) + shift, to see how far rounding errors carry.
    """
    run = _Run(hp, fold, data, dtype)
    with torch.no_grad():
        for parameter in run.net.parameters():
            parameter.mul_(1 + shift).add_(shift)  # a bias of 0, too: its gradient may be only rounding error
    losses: list[float] = []
    scores: list[float] = []
    good, restarts = (copy.deepcopy(run), 0), 0
    while len(scores) < hp.epochs:
        plateau = plateau_factor(hp, _is_better(scores, metric)) if hp.schedule == "plateau" else 1.0
        loss = run.epoch(len(scores) + 1, plateau, RESTART_FACTOR**restarts)
        score = run.evaluate(metric)
        if hp.on_divergence == "restart" and not math.isfinite(loss + score) and restarts < MAX_RESTARTS:
            run, restarts = copy.deepcopy(good[0]), restarts + 1
            del losses[good[1] :], scores[good[1] :]
            continue
        losses.append(loss)
        scores.append(score)
        if hp.on_divergence == "restart" and _is_better(scores, metric)[-1]:
            good = copy.deepcopy(run), len(scores)
    return SingleResult(losses, scores, run.net)


def _is_better(scores: list[float], metric: str) -> list[bool]:
    direction = METRICS[metric].direction
    return [all(direction.is_better(s, than=earlier) for earlier in scores[:i]) for i, s in enumerate(scores)]


class _Run:
    """One network, its optimizer and its data."""

    def __init__(self, hp: Hyperparameters, fold: int, data: FoldData, dtype: torch.dtype) -> None:
        self.hp, self.fold, self.data, self.dtype = hp, fold, data, dtype
        self.net = FNN(hp, data.n_inputs, data.n_outputs, dtype)
        self.optimizer = _optimizer(hp, self.net)
        self.average = None
        if hp.ema_decay:
            self.average = AveragedModel(self.net, multi_avg_fn=_ema(hp.ema_decay), use_buffers=True)
        is_class = data.target.classes is not None
        self.loss_of = _loss(hp, data, dtype)
        self.x = torch.from_numpy(data.x_train.copy()).to(dtype)
        y = torch.from_numpy(data.y_train.copy())
        self.y = y if is_class else y.to(dtype).unsqueeze(1)
        self.offsets = torch.zeros(len(self.x), 1, dtype=dtype)
        if hp.link == "log":
            self.offsets += data.target.mean
            if data.exposure_train is not None:
                self.offsets += torch.from_numpy(data.exposure_train).log().unsqueeze(1)

    def epoch(self, epoch: int, plateau: float, rate_factor: float) -> float:
        """Train one epoch and return the mean loss over its steps."""
        order = torch.from_numpy(Stream(self.hp.seed, self.fold, self.hp.batch_size).order(len(self.x), epoch))
        batches = list(torch.split(order, effective_batch(self.hp, len(self.x))))
        rates = self.hp.base_lr * rate_factor * factors(self.hp, epoch, len(batches), plateau)
        self.net.train()
        total = 0.0
        for step, rows in enumerate(batches):
            for group in self.optimizer.param_groups:
                group["lr"] = rates[step]
            masks = self._dropout_masks(epoch, step, len(batches), len(rows))
            total += self._step(rows, masks)
        return total / len(batches)

    def _step(self, rows: Tensor, masks: list[Tensor] | None) -> float:
        self.optimizer.zero_grad()
        loss = self.loss_of(self.net(self.x[rows], masks) + self.offsets[rows], self.y[rows])
        penalty = self.hp.l1 * sum((p.abs().sum() for p in self.net.parameters()), torch.zeros(()))
        (loss + penalty).backward()
        if self.hp.clip_norm:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.hp.clip_norm)
        if isinstance(self.optimizer, SingleLBFGS):
            self.optimizer.step(float(loss.detach()))
        else:
            self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.net)
        return float(loss.detach())

    def _dropout_masks(self, epoch: int, step: int, n_steps: int, n_rows: int) -> list[Tensor] | None:
        """Compute the dropout factors of the inputs and each hidden layer, (rows, units), from the stream's noise."""
        hp, masks = self.hp, []
        if not (hp.input_dropout or any(hp.dropout)):
            return None
        stream = Stream(hp.seed, self.fold, hp.batch_size)
        columns = columns_of(effective_batch(hp, len(self.x)))
        rates = (hp.input_dropout, *hp.dropout)
        for layer, (units, rate) in enumerate(zip((self.x.shape[1], *hp.hidden), rates, strict=True)):
            keys = torch.from_numpy(stream.dropout_keys(layer, epoch, n_steps)[step].copy())
            positions = counters(units, columns, torch.device("cpu"))
            noise = dropout_noise(positions, keys[0].view(1, 1, 1), keys[1].view(1, 1, 1))[0]
            masks.append(((noise >= threshold(rate)).to(self.dtype) / (1 - rate))[:, :n_rows].t())
        return masks

    def evaluate(self, metric: str) -> float:
        """Compute the score of the validation part."""
        net = self.net if self.average is None else self.average.module
        net.eval()
        with torch.no_grad():
            outputs = net(torch.from_numpy(self.data.x_valid.copy()).to(self.dtype))
        truth, target = torch.from_numpy(self.data.y_valid.copy()), self.data.target
        if target.classes is not None:
            return score_classes(metric, outputs.t().unsqueeze(0), truth).item()
        predictions = torch.from_numpy(target.values(outputs[:, 0].numpy(), self.data.exposure_valid))
        return score_values(metric, predictions.unsqueeze(0), truth).item()


def _loss(hp: Hyperparameters, data: FoldData, dtype: torch.dtype) -> nn.Module:
    name = hp.loss_for("regression" if data.target.classes is None else "classification")
    if name == "cross_entropy":
        weights = data.target.class_weights(hp.class_weight, data.y_train)
        of_class = None if weights is None else torch.from_numpy(weights).to(dtype)
        return nn.CrossEntropyLoss(weight=of_class, label_smoothing=hp.label_smoothing)
    if name == "huber":
        return nn.HuberLoss(delta=hp.huber_delta)
    plain: dict[str, type[nn.Module]] = {"mse": nn.MSELoss, "mae": nn.L1Loss, "poisson": nn.PoissonNLLLoss}
    return plain[name]()


def _ema(decay: float) -> Any:
    return get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]


def _optimizer(hp: Hyperparameters, net: FNN) -> torch.optim.Optimizer:
    return _OPTIMIZERS[hp.optimizer](hp, net.parameters())


def _sgd(hp: Hyperparameters, parameters: Iterable[nn.Parameter], *, nesterov: bool = False) -> torch.optim.Optimizer:
    looks_ahead = nesterov and hp.momentum > 0  # PyTorch refuses Nesterov without momentum; it would have no effect
    return torch.optim.SGD(
        parameters, lr=hp.lr, momentum=hp.momentum, nesterov=looks_ahead, weight_decay=hp.weight_decay
    )


_OPTIMIZERS: Mapping[str, Callable[[Hyperparameters, Iterable[nn.Parameter]], torch.optim.Optimizer]] = {
    "sgd": _sgd,
    "momentum": _sgd,
    "nesterov": partial(_sgd, nesterov=True),
    "adagrad": lambda hp, parameters: torch.optim.Adagrad(
        parameters, lr=hp.lr, eps=hp.eps, weight_decay=hp.weight_decay
    ),
    "rmsprop": lambda hp, parameters: torch.optim.RMSprop(
        parameters, lr=hp.lr, alpha=hp.rho, eps=hp.eps, momentum=hp.momentum, weight_decay=hp.weight_decay
    ),
    "adam": lambda hp, parameters: torch.optim.Adam(
        parameters, lr=hp.lr, betas=(hp.beta1, hp.beta2), eps=hp.eps, weight_decay=hp.weight_decay
    ),
    "adamw": lambda hp, parameters: torch.optim.AdamW(
        parameters, lr=hp.lr, betas=(hp.beta1, hp.beta2), eps=hp.eps, weight_decay=hp.weight_decay
    ),
    "lbfgs": lambda hp, parameters: SingleLBFGS(parameters, hp.lr, hp.weight_decay, hp.l1),
}
