"""Every loss of the table by stock PyTorch, with gradients by autograd: the reference of the losses of a pack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Exponential
from torch.nn import functional

from foldstep.models.hyperparameters import Hyperparameters
from foldstep.worker.data.inputs import FoldData

LossOf = Callable[..., Any]
_Rows = Callable[[Tensor, Tensor], Tensor]


def loss_module(hp: Hyperparameters, data: FoldData, dtype: torch.dtype) -> LossOf:
    """Build the loss of outputs (rows, units), targets and weights (rows,): (rows,) classes, or (rows, 1) values.

    Several targets or labels are (rows, targets).
    """
    name = hp.loss_for(data.target.task)
    if data.target.each:
        return partial(_several, _OF_LABELS[name](hp) if data.target.task == "multilabel" else _OF_VALUES[name](hp))
    if name == "quantile":
        return partial(_quantiles, data.target.quantiles or (0.5,))
    if data.target.classes is None:
        rows = _OF_VALUES[name](hp)
        return lambda outputs, y, weights: (rows(outputs, y).squeeze(1) * weights).mean()
    class_weights = data.target.class_weights(hp.class_weight, data.y_train)
    of_class = None if class_weights is None else torch.from_numpy(class_weights).to(dtype)
    of_rows = _OF_CLASSES[name](hp, of_class)
    if name == "cross_entropy" and hp.label_smoothing_to == "frequencies":
        of_rows = partial(_smoothed_by_frequency, hp.label_smoothing, torch.from_numpy(data.y_train.copy()), of_class)
    return lambda outputs, y, weights: _weighted(of_rows(outputs, y), y, weights, of_class)


def _weighted(losses: Tensor, y: Tensor, weights: Tensor, of_class: Tensor | None) -> Tensor:
    """Average as PyTorch does with the weights of classes: over the sum of the rows' weights."""
    if of_class is None:
        return (losses * weights).mean()
    return (losses * weights).sum() / (of_class[y] * weights).sum()


def _cross_entropy(hp: Hyperparameters, of_class: Tensor | None) -> _Rows:
    return nn.CrossEntropyLoss(weight=of_class, label_smoothing=hp.label_smoothing, reduction="none")


def _smoothed_by_frequency(
    smoothing: float, of_training: Tensor, of_class: Tensor | None, outputs: Tensor, y: Tensor
) -> Tensor:
    """Cross entropy with probabilities as targets: those of the class, and those of a row drawn from the training."""
    n_classes = outputs.shape[1]
    own, drawn = (functional.one_hot(rows, n_classes).to(outputs.dtype) for rows in (y, of_training))
    targets = (1 - smoothing) * own + smoothing * drawn.mean(dim=0)
    return functional.cross_entropy(outputs, targets, weight=of_class, reduction="none")


def _times_class(losses: _Rows, of_class: Tensor | None) -> _Rows:
    return losses if of_class is None else lambda outputs, y: losses(outputs, y) * of_class[y]


def _hinge(outputs: Tensor, y: Tensor) -> Tensor:
    """PyTorch divides by the number of classes; the notes of CS231n do not."""
    return functional.multi_margin_loss(outputs, y, reduction="none") * outputs.shape[1]


def _focal(hp: Hyperparameters) -> _Rows:
    def losses(outputs: Tensor, y: Tensor) -> Tensor:
        log_p = torch.log_softmax(outputs, dim=1)
        others = log_p.scatter(1, y.unsqueeze(1), -torch.inf).logsumexp(dim=1)
        return -torch.exp(hp.focal_gamma * others) * log_p.gather(1, y.unsqueeze(1)).squeeze(1)

    return losses


def _ordinal(outputs: Tensor, y: Tensor) -> Tensor:
    """The sum of the cross entropies of all questions "above border k?", each by its two cumulative shares."""
    shares = Categorical(logits=outputs).logits
    losses = torch.zeros_like(outputs[:, 0])
    for border in range(1, outputs.shape[1]):
        sides = shares[:, :border].logsumexp(dim=1), shares[:, border:].logsumexp(dim=1)
        losses = losses - torch.where(y < border, *sides)
    return losses


_OF_CLASSES: Mapping[str, Callable[[Hyperparameters, Tensor | None], _Rows]] = {
    "cross_entropy": _cross_entropy,
    "hinge": lambda _, of_class: _times_class(_hinge, of_class),
    "focal": lambda hp, of_class: _times_class(_focal(hp), of_class),
    "ordinal": lambda _, of_class: _times_class(_ordinal, of_class),
}


def _several(of_each: _Rows, outputs: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    return (of_each(outputs, y).mean(dim=1) * weights).mean()


def _labels(hp: Hyperparameters) -> _Rows:
    smoothing, loss = hp.label_smoothing, nn.BCEWithLogitsLoss(reduction="none")
    return lambda outputs, y: loss(outputs, y * (1 - smoothing) + smoothing / 2)


_OF_LABELS: Mapping[str, Callable[[Hyperparameters], _Rows]] = {"label_cross_entropy": _labels}


def _quantiles(levels: tuple[float, ...], outputs: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    level, error = torch.tensor(levels, dtype=outputs.dtype), y - outputs
    return (torch.maximum(level * error, (level - 1) * error).mean(dim=1) * weights).mean()


def _gamma(outputs: Tensor, y: Tensor) -> Tensor:
    """A gamma distribution of shape 1 is the exponential one; others have a multiple of its loss."""
    log_density: Tensor = Exponential(torch.exp(-outputs)).log_prob(y)  # type: ignore[no-untyped-call]
    return -log_density


def _tweedie(hp: Hyperparameters) -> _Rows:
    power = hp.tweedie_power

    def losses(outputs: Tensor, y: Tensor) -> Tensor:
        mean = outputs.exp()
        return mean ** (2 - power) / (2 - power) - y * mean ** (1 - power) / (1 - power)

    return losses


_OF_VALUES: Mapping[str, Callable[[Hyperparameters], _Rows]] = {
    "mse": lambda _: nn.MSELoss(reduction="none"),
    "mae": lambda _: nn.L1Loss(reduction="none"),
    "huber": lambda hp: nn.HuberLoss(delta=hp.huber_delta, reduction="none"),
    "poisson": lambda _: nn.PoissonNLLLoss(reduction="none"),
    "gamma": lambda _: _gamma,
    "tweedie": _tweedie,
}
