"""Train one network with stock `torch.nn` and `torch.optim`: the reference for every packed feature.

It shares with the packed engine only the inputs of the comparison: initial weights, data order, noise, and the learning
rate schedule (which its own tests compare with PyTorch's schedulers).
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from foldstep.models.catalog.metrics import METRICS
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.metrics import score_classes, score_values
from foldstep.models.noise import counters, dropout_noise, normal_noise
from foldstep.models.schedules import course, factors, plateau_factor
from foldstep.models.streams import MASKING, MIXING, Stream, threshold
from foldstep.worker.data.inputs import FoldData
from foldstep.worker.feed.shapes import columns_of, effective_batch
from foldstep.worker.train.stopping import MAX_RESTARTS, RESTART_FACTOR
from tests.models.fnn import FNN
from tests.oracle.losses import loss_module
from tests.oracle.single_lbfgs import SingleLBFGS
from tests.oracle.single_muon import SingleMuon

Groups: TypeAlias = list[dict[str, Any]]


class _Augmentation(NamedTuple):
    """What changes one batch: masked inputs, the rows that replace them, the own share and the partners of mixup."""

    is_masked: Tensor
    masks_of: Tensor
    share: float
    partners: Tensor


def _next_of(stream: Stream, purpose: int, epoch: int, step: int, n_rows: int) -> Tensor:
    """Find for each row of a batch the next one on the random cycle of all its rows."""
    cycle = stream.generator(purpose, epoch, step).permutation(n_rows)
    following = torch.empty(n_rows, dtype=torch.int64)
    for here, there in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
        following[here] = int(there)
    return following


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
    """Tell for each epoch whether the mean over the last tenth of the epochs so far is better than all before."""
    direction = METRICS[metric].direction
    means = [statistics.fmean(scores[epoch - max(1, epoch // 10) : epoch]) for epoch in range(1, len(scores) + 1)]
    return [all(direction.is_better(mean, than=earlier) for earlier in means[:i]) for i, mean in enumerate(means)]


class _Run:
    """One network, its optimizer and its data."""

    def __init__(self, hp: Hyperparameters, fold: int, data: FoldData, dtype: torch.dtype) -> None:
        self.hp, self.fold, self.data, self.dtype = hp, fold, data, dtype
        self.net = FNN(hp, data.n_inputs, data.n_outputs, dtype, data.stage(hp), data.x_train)
        self.start = [p.detach().clone() for p in self.net.parameters()]
        self.optimizer = _optimizer(hp, self.net)
        self.average = None
        if hp.ema_decay:
            self.average = AveragedModel(self.net, multi_avg_fn=_ema(hp.ema_decay), use_buffers=True)
        is_class = data.target.classes is not None
        self.loss_of = loss_module(hp, data, dtype)
        self.x = torch.from_numpy(data.x_train.copy()).to(dtype)
        y = torch.from_numpy(data.y_train.copy())
        self.y = y if is_class else y.to(dtype).reshape(len(y), -1)
        self.weights = torch.ones(len(self.x), dtype=dtype)
        if data.weight_train is not None:
            self.weights = torch.from_numpy(data.weight_train / data.weight_train.mean()).to(dtype)
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
        name = "constant" if self.hp.optimizer == "lbfgs" else self.hp.decay_schedule
        decays = course(name, self.hp, epoch, len(batches))
        self.net.train()
        total = 0.0
        for step, rows in enumerate(batches):
            self.at = (epoch, step, len(batches))
            decay = decays[step]
            for group in self.optimizer.param_groups:
                group["lr"] = rates[step] * group["lr_factor"]
                group["weight_decay"] = decay * group["whole_decay"]
            masks = self._dropout_masks(epoch, step, len(batches), len(rows))
            total += self._step(rows, masks, self._augmentation(epoch, step, len(batches), len(rows)))
            self._average_weights(epoch, is_last=step == len(batches) - 1)
        return total / len(batches)

    def _step(self, rows: Tensor, masks: list[Tensor] | None, augmentation: _Augmentation) -> float:
        self.optimizer.zero_grad()
        loss = self._loss(rows, masks, augmentation)
        penalty = self.hp.l1 * sum((p.abs().sum() for p in self.net.parameters()), torch.zeros(()))
        (loss + penalty).backward()
        if self.hp.clip_norm:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.hp.clip_norm)
        if isinstance(self.optimizer, SingleLBFGS):
            self.optimizer.step(float(loss.detach()))
            return float(loss.detach())
        self._add_noise()
        before = self._draw_to_start()
        self.optimizer.step()
        self._undo(before)
        return float(loss.detach())

    def _add_noise(self) -> None:
        """Add noise to the gradients, whose variance falls with the power 0.55 of the steps."""
        if not self.hp.gradient_noise:
            return
        epoch, step, n_steps = self.at
        deviation = math.sqrt(self.hp.gradient_noise / (1 + (epoch - 1) * n_steps + step) ** 0.55)
        stream = Stream(self.hp.seed, self.fold, self.hp.batch_size)
        codes = 0
        for name, p in self.net.named_parameters():
            layer, part = _place_of(name)
            keys = torch.from_numpy(stream.gradient_keys(layer, part, epoch, n_steps)[step].copy())
            inputs = p.shape[-1] if part in ("weight", "second_weight", "frequency", "phase", "linear") else 1
            at = torch.arange(p.numel(), dtype=torch.int32) + (codes if part == "category" else 0)
            codes += p.numel() if part == "category" else 0  # the tables of all columns are one part
            positions = torch.div(at, inputs, rounding_mode="floor") * 65536 + at % inputs
            assert p.grad is not None
            p.grad += deviation * normal_noise(positions.unsqueeze(0), keys).view_as(p).to(p.dtype)

    def _draw_to_start(self) -> list[Tensor]:
        """Move the parameters so that zero is where they decay towards: decay is then that towards the start."""
        if self.hp.decay_towards == "zero":
            return []
        with torch.no_grad():
            for p, start in zip(self.net.parameters(), self.start, strict=True):
                p.sub_(start)
        return self.start

    def _undo(self, starts: list[Tensor]) -> None:
        with torch.no_grad():
            for p, start in zip(self.net.parameters(), starts, strict=False):
                p.add_(start)

    def _loss(self, rows: Tensor, masks: list[Tensor] | None, augmentation: _Augmentation) -> Any:
        x, y, offsets, weights = self.x[rows], self.y[rows], self.offsets[rows], self.weights[rows]
        is_masked, masks_of, share, partners = augmentation
        x = torch.where(is_masked, x[masks_of], x)
        if not self.hp.mixing:
            return self.loss_of(self.net(x, masks) + offsets, y, weights)
        blended = share * x + (1 - share) * x[partners]
        first_code = self.data.columns.first_code
        blended[:, first_code:] = (x if share >= 0.5 else x[partners])[:, first_code:]
        outputs = self.net(blended, masks)
        if y.is_floating_point():
            mixed = (share * offsets.exp() + (1 - share) * offsets[partners].exp()).log()
            of_both = (share * z + (1 - share) * z[partners] for z in (y, weights))
            return self.loss_of(outputs + mixed, *of_both)
        # class weights are divided by their sum over the batch, which is that over the partners, too
        of_partners = self.loss_of(outputs, y[partners], weights[partners])
        return share * self.loss_of(outputs, y, weights) + (1 - share) * of_partners

    def _average_weights(self, epoch: int, *, is_last: bool) -> None:
        """Update the average: an exponential one, or from `swa_start` on the plain mean over the ends of the epochs."""
        n_averaged = epoch - math.floor(self.hp.swa_start * self.hp.epochs)
        if self.hp.swa_start and n_averaged >= 1:
            if n_averaged == 1 and is_last:
                self.average = AveragedModel(self.net, use_buffers=True)
            if is_last and self.average is not None:
                self.average.update_parameters(self.net)
        elif self.average is not None:
            self.average.update_parameters(self.net)

    def _augmentation(self, epoch: int, step: int, n_steps: int, n_rows: int) -> _Augmentation:
        """Draw masks of the inputs, the rows that replace them, the share of mixup, and the rows mixed with."""
        hp, stream = self.hp, Stream(self.hp.seed, self.fold, self.hp.batch_size)
        nobody = torch.arange(n_rows)
        found = _Augmentation(torch.zeros(n_rows, self.x.shape[1], dtype=torch.bool), nobody, 1.0, nobody)
        if hp.input_mask:
            generator = stream.generator(MASKING, epoch, n_steps + step)
            sources = self.data.columns.sources
            drawn = generator.random((n_rows, len(set(sources))), dtype=np.float32)[:, sources]
            is_masked = torch.from_numpy(drawn < hp.input_mask)
            found = found._replace(is_masked=is_masked, masks_of=_next_of(stream, MASKING, epoch, step, n_rows))
        if hp.mixing:
            shares = stream.generator(MIXING, epoch).beta(hp.mixup, hp.mixup, n_steps)
            found = found._replace(share=float(shares[step]), partners=_next_of(stream, MIXING, epoch, step, n_rows))
        return found

    def _dropout_masks(self, epoch: int, step: int, n_steps: int, n_rows: int) -> list[Tensor] | None:
        """Compute the dropout factors of the inputs and each hidden layer, (rows, units), from the stream's noise."""
        hp, masks = self.hp, []
        if not (hp.input_dropout or any(hp.dropout)):
            return None
        stream = Stream(hp.seed, self.fold, hp.batch_size)
        columns = columns_of(effective_batch(hp, len(self.x)))
        factor = course(hp.dropout_schedule, hp, epoch, n_steps)[step]
        rates = [rate * factor for rate in (hp.input_dropout, *hp.dropout)]
        for layer, (units, rate) in enumerate(zip((self.x.shape[1], *hp.hidden), rates, strict=True)):
            keys = torch.from_numpy(stream.dropout_keys(layer, epoch, n_steps)[step].copy())
            positions = counters(units, columns, torch.device("cpu"))
            noise = dropout_noise(positions, keys[0].view(1, 1, 1), keys[1].view(1, 1, 1))[0]
            masks.append(((noise >= threshold(rate)).to(self.dtype) / (1 - rate))[:, :n_rows].t())
        first_code = self.data.columns.first_code
        masks[0][:, first_code:] = 1  # a code that is dropped would be another code
        return masks

    def evaluate(self, metric: str) -> float:
        """Compute the score of the validation part."""
        net = self.net if self.average is None else self.average.module
        net.eval()
        with torch.no_grad():
            outputs = net(torch.from_numpy(self.data.x_valid.copy()).to(self.dtype))
        truth, target = torch.from_numpy(self.data.y_valid.copy()), self.data.target
        weights = None if self.data.weight_valid is None else torch.from_numpy(self.data.weight_valid)
        if target.each:
            return _mean_over_targets(metric, outputs, self.data)
        if target.classes is not None:
            return score_classes(metric, outputs.t().unsqueeze(0), truth, weights).item()
        raw = outputs.t() if target.quantiles else outputs[:, 0]
        predictions = torch.from_numpy(target.values(raw.numpy(), self.data.exposure_valid))
        return score_values(metric, predictions.unsqueeze(0), truth, weights, target.quantiles).item()


def _mean_over_targets(metric: str, outputs: Tensor, data: FoldData) -> float:
    """Average the scores of several targets, each by itself; outputs are (rows, targets)."""
    scores = []
    for t, coder in enumerate(data.target.each):
        truth, weights = torch.from_numpy(data.y_valid[:, t].copy()), None
        if data.weight_valid is not None:
            weights = torch.from_numpy(data.weight_valid)
        if coder.classes is not None:
            both = torch.stack([functional.logsigmoid(-outputs[:, t]), functional.logsigmoid(outputs[:, t])])
            scores.append(score_classes(metric, both.unsqueeze(0), truth, weights))
        else:
            said = torch.from_numpy(coder.values(outputs[:, t].numpy(), None)).unsqueeze(0)
            scores.append(score_values(metric, said, truth, weights))
    return float(torch.cat(scores).mean())


def _place_of(name: str) -> tuple[int, str]:
    """Find the layer and the part of a parameter by its name in the network."""
    kind, place, *rest = name.split(".")
    if kind == "stage":
        return 0, "category" if place == "categories" else rest[-1]
    part = {
        "norms": {"weight": "scale", "bias": "shift"},
        "shares": {"": "share"},
        "seconds": {"weight": "second_weight", "bias": "second_bias"},
    }.get(kind, {})
    own = rest[-1] if rest else ""
    return int(place), part.get(own, own)


def _ema(decay: float) -> Any:
    return get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]


def _optimizer(hp: Hyperparameters, net: FNN) -> torch.optim.Optimizer | SingleMuon:
    return _OPTIMIZERS[hp.optimizer](hp, [_group(hp, *named) for named in net.named_parameters()])


def _group(hp: Hyperparameters, name: str, parameter: nn.Parameter) -> dict[str, Any]:
    """Make the parameter group of one parameter, with the factors on its rate and decay."""
    kind, place, *rest = name.split(".")
    part = rest[-1] if rest else ""
    rate, decay = 1.0, hp.weight_decay
    if kind in ("linears", "seconds"):
        rate *= hp.first_layer_lr_factor if place == "0" else 1.0
        rate *= hp.output_lr_factor if int(place) == len(hp.hidden) else 1.0
        if part == "bias":
            rate, decay = rate * hp.bias_lr_factor, decay * hp.bias_decay_factor
    if kind == "stage":
        rate = hp.input_scale_lr_factor if part == "input_scale" else hp.embedding_lr_factor
    is_orthogonal = (
        hp.optimizer == "muon" and kind in ("linears", "seconds") and part == "weight" and int(place) < len(hp.hidden)
    )
    rate *= hp.muon_lr / hp.lr if is_orthogonal else 1.0
    rate *= hp.activation_lr_factor if kind == "shares" else 1.0
    rate = 1.0 if hp.optimizer == "lbfgs" else rate
    group = {"params": [parameter], "lr_factor": rate, "weight_decay": decay, "whole_decay": decay}
    return group | {"is_orthogonal": is_orthogonal}


def _sgd(hp: Hyperparameters, parameters: Groups, *, nesterov: bool = False) -> torch.optim.Optimizer:
    looks_ahead = nesterov and hp.momentum > 0  # PyTorch refuses Nesterov without momentum; it would have no effect
    return torch.optim.SGD(
        parameters, lr=hp.lr, momentum=hp.momentum, nesterov=looks_ahead, weight_decay=hp.weight_decay
    )


_OPTIMIZERS: Mapping[str, Callable[[Hyperparameters, Groups], torch.optim.Optimizer | SingleMuon]] = {
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
    "muon": SingleMuon,
    "lbfgs": lambda hp, parameters: SingleLBFGS(parameters, hp.lr, hp.weight_decay, hp.l1),
}
