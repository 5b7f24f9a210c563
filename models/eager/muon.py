"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon): updates of hidden weight matrices, made orthogonal.

With momentum m: b = m * b + (1 - m) * g; u = (1 - m) * g + m * b (Nesterov's); then u is divided by its Frobenius norm
and goes through five steps of a Newton-Schulz iteration, X = a X + (b A + c A A) X with A = X X^T, which move its
singular values to about 1; p *= 1 - lr * weight_decay, and p -= lr * sqrt(max(1, outputs / inputs)) * X.

The iteration runs on the matrix or on its transpose, on whichever has fewer rows. Members whose own matrices have the
same padded shape go through it in one batch, without the padding of larger neighbours: so the bits of a member do not
depend on its pack.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from foldstep.models.eager.segments import Pace, Segment
from foldstep.models.eager.sums import MemberSums
from foldstep.models.layout import Block, Slot, padded
from foldstep.models.updates import LEAST_NORM, NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS, shape_factor


class MuonRun:
    """The update of the weights of one hidden layer, for a run of members."""

    def __init__(self, segment: Segment) -> None:
        self._at = segment
        self._momentum = segment.column(lambda of: of.momentum)
        self._decay = segment.decay(lambda of: of.decoupled)
        self._decays = bool((self._decay > 0).any())
        layout = segment.net.layout
        block = next(b for b in layout.blocks if b.is_hidden and b.layer == segment.layer)
        assert segment.update is not None
        self._updates = segment.update.view(-1, block.n_out, block.n_in)
        self._batches = _batches(segment, block, layout.slots[segment.run.members])

    def step(self, pace: Pace, _steps: Tensor, _losses: Tensor) -> None:
        """Apply the gradients; see `models.eager.optim`."""
        at, new = self._at, 1 - self._momentum
        assert at.update is not None
        at.first.mul_(self._momentum).addcmul_(at.gradients, new)
        torch.mul(at.gradients, new, out=at.update).addcmul_(at.first, self._momentum)
        for batch in self._batches:
            batch.make_orthogonal(self._updates)
        if self._decays:
            at.shrink(self._decay, pace)
        at.parameters.addcmul_(at.update, -at.rates(pace))


def _batches(segment: Segment, block: Block, slots: Sequence[Slot]) -> list[_Batch]:
    """Group the members of a segment by the padded shape of their own matrix, and by whether it is tall."""
    found: dict[tuple[int, int, bool], list[tuple[int, float]]] = defaultdict(list)
    for at, slot in enumerate(slots):
        n_in, n_out = slot.sizes(segment.net.layout.n_outputs)[block.layer : block.layer + 2]
        found[padded(n_out), padded(n_in), n_out > n_in].append((at, shape_factor(n_out, n_in)))
    return [_Batch(segment, *key, members) for key, members in sorted(found.items())]


class _Batch:
    """Some members of a segment, whose matrices have the same padded shape."""

    def __init__(
        self, segment: Segment, n_out: int, n_in: int, is_tall: bool, members: Sequence[tuple[int, float]]
    ) -> None:
        net = segment.net
        self._shape, self._is_tall = (n_out, n_in), is_tall
        self._at = torch.tensor([at for at, _ in members], device=net.device)
        factors = [factor for _, factor in members]
        self._factors = torch.tensor(factors, dtype=net.dtype, device=net.device).view(-1, 1, 1)
        self._sums = MemberSums(net.dtype, net.device)

    def make_orthogonal(self, updates: Tensor) -> None:
        """Replace the updates of these members, in (members, out, in), by orthogonal ones times their factors."""
        n_out, n_in = self._shape
        own = updates[:, :n_out, :n_in]
        x = own.index_select(0, self._at)
        x = x.transpose(1, 2).contiguous() if self._is_tall else x
        x = orthogonal(x, self._sums(x.square()).sqrt())
        own.index_copy_(0, self._at, (x.transpose(1, 2) if self._is_tall else x) * self._factors)


def orthogonal(x: Tensor, norms: Tensor) -> Tensor:
    """Move the singular values of matrices to about 1.

    Args:
        x: (members, rows, columns), with at most as many rows as columns.
        norms: (members,) their Frobenius norms.
    """
    a, b, c = NEWTON_SCHULZ
    x = x / norms.clamp(min=LEAST_NORM).view(-1, 1, 1)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
