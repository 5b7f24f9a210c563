"""Losses of classes beside the cross entropy, forward and backward, for all members of a pack at once.

Arguments and results are those of `models.eager.losses.cross_entropy`, whose targets have one class a column here.
"""

from __future__ import annotations

import torch
from torch import Tensor


def least_share(dtype: torch.dtype) -> float:
    """Give the number that a sum of exponentials is raised to, so that its logarithm and its inverse are finite."""
    return 1e-300 if dtype == torch.float64 else 1e-30


def hinge(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor) -> Tensor:
    """Compute the sum over the wrong classes k of max(0, 1 + z_k - z_y), of scores z and the class y.

    The multi-class support vector machine of Weston and Watkins (1999), as in the notes of Stanford's CS231n. The
    gradient is 1 at each wrong class within the margin, and minus their number at y.
    """
    is_class = targets > 0
    own = torch.where(is_class, outputs, 0).sum(dim=1, keepdim=True)
    margins = (outputs - own).add_(1).clamp_(min=0).masked_fill_(is_class, 0)
    torch.gt(margins, 0, out=delta)
    n_within = delta.sum(dim=1, keepdim=True)
    delta.copy_(torch.where(is_class, -n_within, delta)).mul_(weights)
    return margins.mul_(weights).sum(dim=(1, 2))


def focal(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor, *, number: Tensor) -> Tensor:
    """Compute -(1 - p)^gamma log p for the probability p of the class (Lin et al. 2017, equation 4).

    With r = 1 - p, the gradient with respect to the logits is r^gamma (1 - gamma p log(p) / r) (softmax - target).
    `number` is gamma, (members, 1, 1); at 0 the loss is the cross entropy.
    """
    is_class = targets > 0
    outputs.sub_(outputs.amax(dim=1, keepdim=True))
    raised = outputs.exp()
    total = raised.sum(dim=1, keepdim=True)
    log_total = total.log()
    log_p = torch.where(is_class, outputs, 0).sum(dim=1, keepdim=True).sub_(log_total)
    others = raised.masked_fill(is_class, 0).sum(dim=1, keepdim=True).clamp_(min=least_share(raised.dtype))
    factor = others.log().sub_(log_total).mul_(number).exp_()
    slope = factor * (1 - number * log_p.exp() * log_p * (total / others))
    delta.copy_(raised.div_(total).sub_(is_class.to(raised.dtype))).mul_(slope).mul_(weights)
    return (factor * log_p).mul_(weights).sum(dim=(1, 2)).neg_()


def ordinal(outputs: Tensor, targets: Tensor, weights: Tensor, delta: Tensor) -> Tensor:
    """Compute the sum over the borders between ordered classes of the log loss of lying below or above.

    With the cumulative shares F_k of softmax(outputs) and the class y it is the sum of -log F_k over y <= k < K - 1
    and of -log(1 - F_k) over k < y: the ranked ignorance score (Toedter and Ahrens 2012, equation 6), a proper score,
    and the cross entropy of two classes. The derivative of log F_k by logit i is softmax_i ([i <= k] / F_k - 1).
    """
    outputs.sub_(outputs.amax(dim=1, keepdim=True))
    raised = outputs.exp()
    total = raised.sum(dim=1, keepdim=True)
    least = least_share(raised.dtype)
    up_to = raised.cumsum(dim=1)[:, :-1].clamp_(min=least)
    beyond = raised.flip(1).cumsum(dim=1).flip(1)[:, 1:].clamp_(min=least)
    is_up_to = (targets > 0).cumsum(dim=1)[:, :-1] > 0  # whether the class lies below each border
    log_share = torch.where(is_up_to, up_to, beyond).log_().sub_(total.log())
    lower, upper = torch.where(is_up_to, 1 / up_to, 0), torch.where(is_up_to, 0, 1 / beyond)
    pull = torch.zeros_like(raised)  # for each class the sum of the inverse shares on whose side it lies
    pull[:, :-1] += lower.flip(1).cumsum(dim=1).flip(1)
    pull[:, 1:] += upper.cumsum(dim=1)
    delta.copy_((log_share.shape[1] / total - pull).mul_(raised)).mul_(weights)
    return log_share.mul_(weights).sum(dim=(1, 2)).neg_()
