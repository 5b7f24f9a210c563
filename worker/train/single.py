"""Trains one network with stock `torch.nn` and `torch.optim`: the oracle of every packed feature.

It shares with the packed engine only what makes the question the same: initial weights, data order and noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.fnn import FNN
from models.hyperparameters import Hyperparameters
from models.metrics import score_classes, score_values
from models.noise import Stream, counters, dropout_noise, threshold
from worker.data.inputs import FoldData
from worker.train.pack import columns_of, effective_batch


@dataclass(frozen=True)
class SingleResult:
    """What one network came to: per epoch mean training loss and validation score; the last weights."""

    train_loss: list[float]
    scores: list[float]
    net: FNN


def train_single(
    hp: Hyperparameters, fold: int, data: FoldData, metric: str, dtype: torch.dtype = torch.float64
) -> SingleResult:
    """Train a network for `hp.epochs` epochs, without early stopping."""
    net = FNN(hp, data.n_inputs, data.n_outputs, dtype)
    optimizer = _optimizer(hp, net)
    is_class = data.target.classes is not None
    loss_of = nn.CrossEntropyLoss() if is_class else nn.MSELoss()
    x = torch.from_numpy(data.x_train.copy()).to(dtype)
    y = torch.from_numpy(data.y_train.copy())
    y = y if is_class else y.to(dtype).unsqueeze(1)
    losses, scores = [], []
    for epoch in range(1, hp.epochs + 1):
        epoch_loss = 0.0
        batches = _batches(hp, fold, len(x), epoch)
        for step, rows in enumerate(batches):
            optimizer.zero_grad()
            masks = _dropout_masks(hp, Position(fold, epoch, step, len(batches), len(x)), len(rows), dtype)
            loss = loss_of(net(x[rows], masks), y[rows])
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item() / len(batches)
        losses.append(epoch_loss)
        scores.append(_evaluate(net, data, metric, dtype))
    return SingleResult(losses, scores, net)


def _batches(hp: Hyperparameters, fold: int, n_rows: int, epoch: int) -> list[Tensor]:
    order = torch.from_numpy(Stream(hp.seed, fold, hp.batch_size).order(n_rows, epoch))
    return list(torch.split(order, effective_batch(hp, n_rows)))


@dataclass(frozen=True)
class Position:
    """Where in the training a step is."""

    fold: int
    epoch: int
    step: int
    n_steps: int
    n_train: int


def _dropout_masks(hp: Hyperparameters, at: Position, n_rows: int, dtype: torch.dtype) -> list[Tensor] | None:
    """The factors of each hidden layer, (rows, width), from the stream's noise."""
    if not any(hp.dropout):
        return None
    stream, masks = Stream(hp.seed, at.fold, hp.batch_size), []
    columns = columns_of(effective_batch(hp, at.n_train))
    for layer, (width, rate) in enumerate(zip(hp.hidden, hp.dropout, strict=True)):
        keys = torch.from_numpy(stream.dropout_keys(layer, at.epoch, at.n_steps)[at.step].copy())
        positions = counters(width, columns, torch.device("cpu"))
        noise = dropout_noise(positions, keys[0].view(1, 1, 1), keys[1].view(1, 1, 1))[0]
        keep = (noise >= threshold(rate)).to(dtype) / (1 - rate)
        masks.append(keep[:, :n_rows].t())
    return masks


def _optimizer(hp: Hyperparameters, net: FNN) -> torch.optim.Optimizer:
    parameters = net.parameters()
    if hp.optimizer in ("adam", "adamw"):
        cls = torch.optim.Adam if hp.optimizer == "adam" else torch.optim.AdamW
        return cls(parameters, lr=hp.lr, betas=(hp.beta1, hp.beta2), eps=hp.eps, weight_decay=hp.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=hp.lr,
        momentum=hp.momentum,
        nesterov=hp.optimizer == "nesterov" and hp.momentum > 0,
        weight_decay=hp.weight_decay,
    )


def _evaluate(net: FNN, data: FoldData, metric: str, dtype: torch.dtype) -> float:
    with torch.no_grad():
        outputs = net(torch.from_numpy(data.x_valid.copy()).to(dtype))
    truth = torch.from_numpy(data.y_valid.copy())
    if data.target.classes is not None:
        return score_classes(metric, outputs.t().unsqueeze(0), truth).item()
    predictions = outputs[:, 0].double() * data.target.scale + data.target.mean
    return score_values(metric, predictions.unsqueeze(0), truth).item()
