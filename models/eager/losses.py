"""The losses that training minimises, forward and backward, for all members of a pack at once.

Outputs are (member, unit, column). Columns have weights: 1 / (rows of the batch) for real rows and 0 for the
columns that fill up a short last batch, so every batch has the same shape and the mean is over real rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from foldstep.models.catalog.losses import LOSSES as KNOWN
from foldstep.models.catalog.losses import MEDIAN
from foldstep.models.catalog.tasks import Task
from foldstep.models.class_numbers import ClassNumbers
from foldstep.models.eager.class_losses import focal, hinge, ordinal
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.layout import Layout

Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Maps (outputs, targets, weights, delta) to the loss of each member, (members,); writes the gradient to `delta`."""


def cross_entropy(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor) -> Tensor:
    """Compute the mean cross entropy of softmax(outputs), -log p(class); gradient p - target (Bridle 1990).

    Args:
        outputs: (members, classes, columns) logits; overwritten.
        targets: (members, classes, columns): each column's weight at its class, 0 elsewhere.
        weights: (members, 1, columns): sum of a column's targets.
        delta: (members, classes, columns), receives the gradient with respect to the logits.

    Returns:
        The loss of each member, (members,).
    """
    outputs.sub_(outputs.amax(dim=1, keepdim=True))
    at_class = (outputs * targets).sum(dim=(1, 2))
    torch.exp(outputs, out=delta)
    total = delta.sum(dim=1, keepdim=True)
    delta.mul_(weights / total).sub_(targets)
    return (total.log_() * weights).sum(dim=(1, 2)).sub_(at_class)


def squared_error(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor) -> Tensor:
    """Compute the mean squared error; gradient 2 (output - target).

    Args:
        outputs: (members, 1, columns).
        targets: (members, 1 or 2, columns): the target is the first row, as in the functions below; of several targets
            (members, targets, columns), for outputs of that shape: the loss is their mean.
        weights: (members, 1, columns): see the docstring of the module.
        delta: in the shape of the outputs, receives the gradient with respect to them.

    Returns:
        The loss of each member, (members,).
    """
    torch.sub(outputs, _of(outputs, targets), out=delta)
    weighted = delta * _of_each(outputs, weights)
    loss = (weighted * delta).sum(dim=(1, 2))
    torch.mul(weighted, 2, out=delta)
    return loss


def absolute_error(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor) -> Tensor:
    """Compute the mean absolute error; gradient sign(output - target). Arguments and result as in `squared_error`."""
    error, weights = outputs - _of(outputs, targets), _of_each(outputs, weights)
    torch.sign(error, out=delta).mul_(weights)
    return error.abs_().mul_(weights).sum(dim=(1, 2))


def huber(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor, *, number: Tensor) -> Tensor:
    """Compute Huber's loss (1964): error^2 / 2 up to a bend, bend (|error| - bend / 2) beyond.

    The gradient is the error, clipped to +-bend. Arguments and result as in `squared_error`; `number` is the bend,
    (members, 1, 1).
    """
    error = outputs - _of(outputs, targets)
    clipped = torch.minimum(torch.maximum(error, -number), number)
    torch.mul(clipped, _of_each(outputs, weights), out=delta)
    # c (e - c / 2) is e^2 / 2 where c = e, and bend (|e| - bend / 2) where c = +-bend
    return error.sub_(clipped / 2).mul_(delta).sum(dim=(1, 2))


def _of(outputs: Tensor, targets: Tensor) -> Tensor:
    """Select the targets that outputs are compared with: one for each, without offsets."""
    return targets[:, : outputs.shape[1]]


def _of_each(outputs: Tensor, weights: Tensor) -> Tensor:
    """Divide the weights among several targets, over which a loss is averaged."""
    return weights if outputs.shape[1] == 1 else weights / outputs.shape[1]


def label_cross_entropy(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor, *, number: Tensor) -> Tensor:
    """Compute the mean over labels of log(1 + exp(output)) - label * output; gradient sigmoid(output) - label.

    As PyTorch's `BCEWithLogitsLoss`, and the loss of scikit-learn's networks for several labels (divided by their
    number). A smoothing s makes s / 2 of a label 0, and 1 - s / 2 of a label 1.

    Args:
        outputs: (members, labels, columns), the log odds of each label.
        targets: (members, labels, columns), 0 or 1, or between where rows are mixed.
        weights: as in `squared_error`.
        delta: (members, labels, columns), receives the gradient.
        number: the smoothing, (members, 1, 1).

    Returns:
        The loss of each member, (members,).
    """
    weights = _of_each(outputs, weights)
    labels = targets * (1 - number) + number / 2
    decay = torch.exp(-outputs.abs())
    above = torch.where(outputs >= 0, 1.0, decay) / (1 + decay)
    torch.mul(above.sub_(labels), weights, out=delta)
    return torch.log1p(decay).add_(outputs.clamp(min=0)).sub_(labels.mul_(outputs)).mul_(weights).sum(dim=(1, 2))


def quantile(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor, *, levels: Tensor) -> Tensor:
    """Compute the mean over levels l of max(l e, (l - 1) e), with e = target - output (Koenker and Bassett 1978).

    The gradient is -l where an output is too low and 1 - l where it is too high, over the number of levels.

    Args:
        outputs: (members, levels, columns).
        targets: as in `squared_error`.
        weights: as in `squared_error`.
        delta: (members, levels, columns), receives the gradient.
        levels: (levels, 1), each between 0 and 1.

    Returns:
        The loss of each member, (members,).
    """
    error = targets[:, :1] - outputs
    slope = torch.sign(error).mul_(0.5).add_(levels - 0.5).mul_(weights / len(levels))
    torch.neg(slope, out=delta)
    return error.mul_(slope).sum(dim=(1, 2))


def poisson(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor) -> Tensor:
    """Compute the mean of mu - y log(mu) for counts y with mean mu = exp(output + offset); gradient mu - y.

    This is the negative log likelihood without the term log(y!), as in PyTorch's `PoissonNLLLoss` (McCullagh and Nelder
    1989, section 6.2). Arguments and result as in `squared_error`; the second row of `targets` is the
    offset, log of the exposure.
    """
    log_mean = outputs + targets[:, 1:]
    torch.exp(log_mean, out=delta)
    loss = (delta - log_mean.mul_(targets[:, :1])).mul_(weights).sum(dim=(1, 2))
    delta.sub_(targets[:, :1]).mul_(weights)
    return loss


def gamma(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor) -> Tensor:
    """Compute the mean of log(mu) + y / mu for amounts y above 0 with mean mu; gradient 1 - y / mu.

    This is the negative log likelihood of a gamma distribution, per unit of its shape and without the terms that do
    not depend on mu (McCullagh and Nelder 1989, section 8.3). Arguments and result as in `poisson`.
    """
    log_mean = outputs + targets[:, 1:]
    ratio = torch.exp(-log_mean).mul_(targets[:, :1])
    loss = log_mean.add_(ratio).mul_(weights).sum(dim=(1, 2))
    torch.mul(1 - ratio, weights, out=delta)
    return loss


def tweedie(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor, *, number: Tensor) -> Tensor:
    """Compute the mean of mu^(2 - p) / (2 - p) - y mu^(1 - p) / (1 - p); gradient mu^(2 - p) - y mu^(1 - p).

    This is the negative log likelihood of a Tweedie distribution, sums of gamma amounts whose number is Poisson's,
    without the terms that do not depend on mu (Jorgensen 1987; Dunn and Smyth 2005, equation 3). Arguments and result
    as in `poisson`; `number` is the power p, above 1 and below 2, (members, 1, 1).
    """
    log_mean = outputs + targets[:, 1:]
    whole = torch.exp(log_mean * (2 - number))
    part = torch.exp(log_mean * (1 - number)).mul_(targets[:, :1])
    loss = (whole / (2 - number) - part / (1 - number)).mul_(weights).sum(dim=(1, 2))
    torch.mul(whole.sub_(part), weights, out=delta)
    return loss


LOSSES: Mapping[str, Loss] = {
    "cross_entropy": cross_entropy,
    "hinge": hinge,
    "ordinal": ordinal,
    "mse": squared_error,
    "mae": absolute_error,
    "poisson": poisson,
    "gamma": gamma,
}
"""By the value of the hyperparameter `loss`; a test compares the names with those of the table."""
LOSSES_WITH_NUMBER: Mapping[str, Callable[..., Tensor]] = {"focal": focal, "huber": huber, "tweedie": tweedie}
"""The losses with the further argument `number`: each member's value of the hyperparameter that the table names."""

LOSSES_OF_LABELS: Mapping[str, Callable[..., Tensor]] = {"label_cross_entropy": label_cross_entropy}
"""The losses with the smoothing of labels as the further argument `number`."""

LOSSES_WITH_LEVELS: Mapping[str, Callable[..., Tensor]] = {"quantile": quantile}
"""The losses with the further argument `levels`."""


class PackedLoss:
    """The losses of all members of a pack, where each run of members has its own formula.

    Attributes:
        overwrites_targets: whether a call changes its argument `targets`.

    Args:
        layout: the members.
        task: the task of the search.
        of_classes: for each member the numbers of its classes.
        dtype: type of the outputs.
        device: device of the outputs.
        levels: of the search's quantiles; none for the median.
        smoothed: whether `label_smoothing` is applied: in training, not in evaluation.
    """

    def __init__(
        self,
        layout: Layout,
        task: Task,
        of_classes: Sequence[ClassNumbers],
        dtype: torch.dtype,
        device: torch.device,
        levels: Sequence[float] = (),
        *,
        smoothed: bool = True,
    ) -> None:
        self._make = partial(torch.tensor, dtype=dtype, device=device)
        self._levels = self._make(levels or MEDIAN).unsqueeze(1)
        configurations = [s.hp for s in layout.slots]
        self._soft_targets, self._smoothed = None, smoothed
        if task == "classification":
            smoothing = [hp.smoothing if smoothed else 0.0 for hp in configurations]
            self._soft_targets = self._find_soft_targets(smoothing, of_classes, layout.n_outputs)
        self.overwrites_targets = self._soft_targets is not None
        runs = layout.runs(lambda s: s.hp.loss_for(task))
        self._runs = [(run.members, self._formula(name, configurations[run.members])) for name, run in runs]

    def _formula(self, name: str, configurations: Sequence[Hyperparameters]) -> Loss:
        if KNOWN[name].has_levels:
            return partial(LOSSES_WITH_LEVELS[name], levels=self._levels)
        if name in LOSSES_OF_LABELS:
            smoothing = self._make([hp.smoothing if self._smoothed else 0.0 for hp in configurations])
            return partial(LOSSES_OF_LABELS[name], number=smoothing.view(-1, 1, 1))
        if KNOWN[name].number is None:
            return LOSSES[name]
        numbers = self._make([hp.loss_number for hp in configurations])
        return partial(LOSSES_WITH_NUMBER[name], number=numbers.view(-1, 1, 1))

    def _spread(self, smoothing: Sequence[float], of_classes: Sequence[ClassNumbers], n_classes: int) -> Tensor:
        """Make what each class gets of a weight of 1 by smoothing, (members, classes, 1)."""
        numbers = self._make(smoothing).view(-1, 1)
        found = (numbers / n_classes).repeat(1, n_classes)
        for i, (_, spread) in enumerate(of_classes):
            if spread is not None:
                found[i] = numbers[i] * self._make(spread)
        return found.unsqueeze(2)

    def _find_soft_targets(
        self, smoothing: Sequence[float], of_classes: Sequence[ClassNumbers], n_classes: int
    ) -> _SoftTargets | None:
        is_weighted = [weights is not None for weights, _ in of_classes]
        if not any(smoothing) and not any(is_weighted):
            return None
        rows = [np.ones(n_classes) if weights is None else weights for weights, _ in of_classes]
        spread = self._spread(smoothing, of_classes, n_classes)
        numbers = self._make(smoothing).view(-1, 1, 1), self._make(np.stack(rows)).unsqueeze(2)
        return _SoftTargets(*numbers, torch.tensor(is_weighted, device=spread.device), spread)

    def __call__(self, outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor) -> Tensor:
        """Compute the loss of each member, (members,), and its gradient.

        Args:
            outputs: (members, units, columns); may be overwritten.
            targets: (members, classes, columns), each column's weight at its class; or (members, 1, columns) values,
                with a second row of offsets where a member's loss has the link log; or (members, targets, columns)
                values of several targets or labels.
            weights: (members, 1, columns): see the docstring of the module.
            delta: receives the gradient, in the shape of the outputs.
        """
        if self._soft_targets is not None:
            weights = self._soft_targets.apply(targets, weights)
        if len(self._runs) == 1:
            return self._runs[0][1](outputs, targets, weights, delta)
        parts = [loss(outputs[rows], targets[rows], weights[rows], delta[rows]) for rows, loss in self._runs]
        return torch.cat(parts)


class _SoftTargets:
    """Class weights and label smoothing, defined as in PyTorch's `CrossEntropyLoss`.

    With class weights w, smoothing s and shares q of the classes, which are 1 / classes by default, the loss is the sum
    over the rows of (1 - s) w_y nll_y + s sum_k q_k w_k nll_k, divided by the sum of their w_y (for smoothing: Szegedy
    et al. 2016, section 7). `spread` is s q, (members, classes, 1).
    """

    def __init__(self, smoothing: Tensor, class_weights: Tensor, is_weighted: Tensor, spread: Tensor) -> None:
        self._smoothing, self._class_weights, self._spread = smoothing, class_weights, spread
        self._is_weighted = is_weighted.view(-1, 1, 1)

    def apply(self, targets: Tensor, weights: Tensor) -> Tensor:
        """Change the targets in place and return their sum over the classes, (members, 1, columns).

        A member without class weights gets the same bits as in a pack without any class weights.
        """
        targets.mul_(self._class_weights)
        total = torch.where(self._is_weighted, targets.sum(dim=(1, 2)).view(-1, 1, 1), 1.0)
        targets.div_(total)
        spread = weights * self._spread * self._class_weights
        targets.mul_(1 - self._smoothing).add_(spread.div_(total))
        return torch.where(self._is_weighted, targets.sum(dim=1, keepdim=True), weights)
