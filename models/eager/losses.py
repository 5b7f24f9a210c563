"""The losses that training minimises, forward and backward, for all members of a pack at once.

Outputs are (member, unit, column). Columns have weights: 1 / (rows of the batch) for real rows and 0 for the
columns that fill up a short last batch, so every batch has the same shape and the mean is over real rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from foldstep.models.catalog.losses import LOSSES as KNOWN
from foldstep.models.catalog.tasks import Task
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
        targets: (members, 1 or 2, columns): the target is the first row, as in the functions below.
        weights: (members, 1, columns): see the docstring of the module.
        delta: (members, 1, columns), receives the gradient with respect to the outputs.

    Returns:
        The loss of each member, (members,).
    """
    torch.sub(outputs, targets[:, :1], out=delta)
    weighted = delta * weights
    loss = (weighted * delta).sum(dim=(1, 2))
    torch.mul(weighted, 2, out=delta)
    return loss


def absolute_error(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor) -> Tensor:
    """Compute the mean absolute error; gradient sign(output - target). Arguments and result as in `squared_error`."""
    error = outputs - targets[:, :1]
    torch.sign(error, out=delta).mul_(weights)
    return error.abs_().mul_(weights).sum(dim=(1, 2))


def huber(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor, *, bend: Tensor) -> Tensor:
    """Compute Huber's loss (1964): error^2 / 2 up to `bend`, bend (|error| - bend / 2) beyond.

    The gradient is the error, clipped to +-bend. Arguments and result as in `squared_error`; `bend` is (members, 1, 1).
    """
    error = outputs - targets[:, :1]
    clipped = torch.minimum(torch.maximum(error, -bend), bend)
    torch.mul(clipped, weights, out=delta)
    # c (e - c / 2) is e^2 / 2 where c = e, and bend (|e| - bend / 2) where c = +-bend
    return error.sub_(clipped / 2).mul_(delta).sum(dim=(1, 2))


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


LOSSES: Mapping[str, Loss] = {
    "cross_entropy": cross_entropy,
    "mse": squared_error,
    "mae": absolute_error,
    "poisson": poisson,
}
"""By the value of the hyperparameter `loss`; a test compares the names with those of the table."""
BENDING_LOSSES: Mapping[str, Callable[..., Tensor]] = {"huber": huber}
"""The losses with the further argument `bend`: each member's `huber_delta`."""


class PackedLoss:
    """The losses of all members of a pack, where each run of members has its own formula.

    Attributes:
        overwrites_targets: whether a call changes its argument `targets`.

    Args:
        layout: the members.
        task: `classification` or `regression`.
        class_weights: for each member the weights of its classes, (classes,); None for equal weights.
        dtype: type of the outputs.
        device: device of the outputs.
        smoothed: whether `label_smoothing` is applied: in training, not in evaluation.
    """

    def __init__(
        self,
        layout: Layout,
        task: Task,
        class_weights: Sequence[npt.NDArray[np.float64] | None],
        dtype: torch.dtype,
        device: torch.device,
        *,
        smoothed: bool = True,
    ) -> None:
        self._make = partial(torch.tensor, dtype=dtype, device=device)
        configurations = [s.hp for s in layout.slots]
        self._soft_targets = None
        if task == "classification":
            smoothing = [hp.label_smoothing if smoothed else 0.0 for hp in configurations]
            self._soft_targets = self._find_soft_targets(smoothing, class_weights, layout.n_outputs)
        self.overwrites_targets = self._soft_targets is not None
        runs = layout.runs(lambda s: s.hp.loss_for(task))
        self._runs = [(run.members, self._formula(name, configurations[run.members])) for name, run in runs]

    def _formula(self, name: str, configurations: Sequence[Hyperparameters]) -> Loss:
        if not KNOWN[name].bends:
            return LOSSES[name]
        bends = self._make([hp.huber_delta for hp in configurations])
        return partial(BENDING_LOSSES[name], bend=bends.view(-1, 1, 1))

    def _find_soft_targets(
        self, smoothing: Sequence[float], class_weights: Sequence[npt.NDArray[np.float64] | None], n_classes: int
    ) -> _SoftTargets | None:
        is_weighted = [weights is not None for weights in class_weights]
        if not any(smoothing) and not any(is_weighted):
            return None
        rows = [np.ones(n_classes) if weights is None else weights for weights in class_weights]
        numbers = self._make(smoothing).view(-1, 1, 1), self._make(np.stack(rows)).unsqueeze(2)
        return _SoftTargets(*numbers, torch.tensor(is_weighted, device=numbers[0].device))

    def __call__(self, outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor) -> Tensor:
        """Compute the loss of each member, (members,), and its gradient.

        Args:
            outputs: (members, units, columns); may be overwritten.
            targets: (members, classes, columns), each column's weight at its class; or (members, 1, columns) values,
                with a second row of offsets where a member's loss is poisson.
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

    With class weights w, smoothing s and K classes, the loss is the sum over the rows of
    (1 - s) w_y nll_y + s / K sum_k w_k nll_k, divided by the sum of their w_y (for smoothing: Szegedy et al.
    2016, section 7).
    """

    def __init__(self, smoothing: Tensor, class_weights: Tensor, is_weighted: Tensor) -> None:
        self._smoothing, self._class_weights = smoothing, class_weights
        self._is_weighted = is_weighted.view(-1, 1, 1)

    def apply(self, targets: Tensor, weights: Tensor) -> Tensor:
        """Change the targets in place and return their sum over the classes, (members, 1, columns).

        A member without class weights gets the same bits as in a pack without any class weights.
        """
        targets.mul_(self._class_weights)
        total = torch.where(self._is_weighted, targets.sum(dim=(1, 2)).view(-1, 1, 1), 1.0)
        targets.div_(total)
        spread = weights * (self._smoothing / targets.shape[1]) * self._class_weights
        targets.mul_(1 - self._smoothing).add_(spread.div_(total))
        return torch.where(self._is_weighted, targets.sum(dim=1, keepdim=True), weights)
