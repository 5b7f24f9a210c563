"""The plain lbfgs, which is the packed one's oracle, against PyTorch's own; and what its safeguards do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from torch import Tensor, nn

from tests.oracle.single_lbfgs import SingleLBFGS

BUNCH = load_wine()
X = torch.from_numpy((BUNCH.data - BUNCH.data.mean(0)) / BUNCH.data.std(0))
Y = torch.from_numpy(BUNCH.target)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(13, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def loss_of(net: nn.Module) -> Tensor:
    loss: Tensor = nn.functional.cross_entropy(net(X), Y)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def plain(lr: float, steps: int, weight_decay: float = 0.0) -> list[float]:
    net = network()
    optimizer = SingleLBFGS(net.parameters(), lr, weight_decay, 0.0)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        losses.append(float(loss_of(net)))
        optimizer.step(losses[-1])
    return losses


def pytorch(lr: float, steps: int) -> list[float]:
    net = network()
    optimizer = torch.optim.LBFGS(
        net.parameters(), lr=lr, max_iter=1, history_size=10, tolerance_grad=0, tolerance_change=0
    )
    losses = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        return loss_of(net)

    for _ in range(steps):
        losses.append(float(optimizer.step(closure)))  # type: ignore[no-untyped-call]
    return losses


@pytest.mark.parametrize("lr", [0.5, 1.0])
def test_without_a_retreat_it_is_pytorchs(lr: float) -> None:
    # 25 steps: the memory of 10 pairs is full and turns over
    ours = plain(lr, 25)
    assert all(b < a for a, b in itertools.pairwise(ours)), "a retreat: choose another rate for this test"
    np.testing.assert_allclose(ours, pytorch(lr, 25), rtol=1e-8)


def test_a_step_too_far_is_taken_back() -> None:
    ours, theirs = plain(30.0, 40), pytorch(30.0, 40)
    assert max(ours) > ours[0], "the rate must be too high for the safeguard to be needed"
    assert ours[-1] < 0.05
    assert not theirs[-1] < 0.5, "PyTorch's, without a safeguard, must not get there"


def test_weight_decay_is_part_of_what_is_minimised() -> None:
    # the penalty alone bounds the weights: with it the loss stops well above zero
    assert plain(1.0, 60)[-1] < 1e-3 < plain(1.0, 60, weight_decay=0.05)[-1]
