"""Trained activations: z + s (f(z) - z), with a share s of each unit, in place, on slices of a pack.

With s = 1 it is the activation f, with s = 0 the identity (Holzmüller et al. 2024, arXiv 2407.04491). With relu it is
the parametric relu of He et al. (2015), whose slope below zero is 1 - s.
"""

from __future__ import annotations

import torch
from torch import Tensor

from foldstep.models.catalog.activations import ACTIVATIONS as KNOWN
from foldstep.models.eager.activations import ACTIVATIONS


def activate(name: str, z: Tensor, share: Tensor) -> None:
    """Turn pre-activations into activations.

    Args:
        name: the activation f.
        z: (members, units, columns).
        share: (members, units, 1).
    """
    z.add_((_applied(name, z) - z).mul_(share))


def activate_backward(name: str, gradient: Tensor, z: Tensor, share: Tensor, share_gradient: Tensor) -> None:
    """Turn the gradient with respect to the activations into the one with respect to the pre-activations z.

    `share_gradient`, (members, units, 1), receives the gradient of the shares.
    """
    applied = _applied(name, z)
    torch.sum((applied - z).mul_(gradient), dim=2, keepdim=True, out=share_gradient)
    through = gradient * share
    gradient.sub_(through)
    ACTIVATIONS[name].backward(through, z if KNOWN[name].needs_input else applied)
    gradient.add_(through)


def _applied(name: str, z: Tensor) -> Tensor:
    applied = z.clone()
    ACTIVATIONS[name].forward(applied)
    return applied
