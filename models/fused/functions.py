"""The activation functions, losses and update rules of the kernel: those of `models.eager`.

A choice that differs from member to member is a number that the kernel reads; `USED` has a bit for each one that the
pack has at all, and nothing is compiled for the others. Comparisons are written so that what is not a number stays one.
"""

from __future__ import annotations

import triton
import triton.language as tl

# where the numbers of a rule lie: those of `models.rules.RuleNumbers` in their order, then what is new in Adam's means
MOMENTUM, NESTEROV, KEEP, ADD, BETA1, BETA2, EPS, L2, DECOUPLED, NEW1, NEW2 = (tl.constexpr(i) for i in range(11))

LEAK = tl.constexpr(0.01)
ROOT_HALF = tl.constexpr(0.7071067811865476)
DENSITY_AT_0 = tl.constexpr(0.3989422804014327)  # of the normal distribution


@triton.jit
def sigmoid(z):
    """1 / (1 + exp(-z))."""
    return 1 / (1 + tl.exp(-z))


@triton.jit
def normal_share(z):
    """The normal distribution function."""
    return 0.5 * (1 + tl.erf(z * ROOT_HALF))


@triton.jit
def activated(z, name, USED: tl.constexpr):
    """f(z), for the `name`-th function of `models.rules.ACTIVATIONS`."""
    found = z
    if USED & 1:
        if name == 0:
            found = tl.where(z < 0, 0, z)
    if USED & 2:
        if name == 1:
            found = tl.where(z < 0, z * LEAK, z)
    if USED & 4:
        if name == 2:
            found = tl.where(z < 0, tl.exp(z) - 1, z)
    if USED & 8:
        if name == 3:
            found = z * normal_share(z)
    if USED & 16:
        if name == 4:
            found = z * sigmoid(z)
    if USED & 32:
        if name == 5:
            found = tl.where(z < 0, 0, tl.where(z > 6, 6, z))
    if USED & 64:
        if name == 6:
            found = 2 * sigmoid(2 * z) - 1
    if USED & 128:
        if name == 7:
            found = sigmoid(z)
    return found


@triton.jit
def slope(z, h, name, USED: tl.constexpr):
    """f'(z), where h = f(z)."""
    found = tl.where(h > 0, 1.0, 0.0).to(z.dtype)
    if USED & 2:
        if name == 1:
            found = tl.where(h > 0, 1.0, LEAK).to(z.dtype)
    if USED & 4:
        if name == 2:
            found = tl.where(h > 0, 1, h + 1)
    if USED & 8:
        if name == 3:
            found = normal_share(z) + z * DENSITY_AT_0 * tl.exp(-0.5 * z * z)
    if USED & 16:
        if name == 4:
            found = sigmoid(z) * (1 + z * (1 - sigmoid(z)))
    if USED & 32:
        if name == 5:
            found = tl.where((h > 0) & (h < 6), 1.0, 0.0).to(z.dtype)
    if USED & 64:
        if name == 6:
            found = 1 - h * h
    if USED & 128:
        if name == 7:
            found = h * (1 - h)
    return found


@triton.jit
def kept(multiplier, offset, limit, noise_row, UNITS: tl.constexpr, COLUMNS: tl.constexpr):
    """Which units of a layer are not dropped, (units, columns): the whole numbers of `models.noise.dropout_noise`."""
    position = tl.arange(0, UNITS)[:, None] * noise_row + tl.arange(0, COLUMNS)[None, :]
    x = (position * multiplier + offset).to(tl.uint32, bitcast=True)
    x = (x ^ (x >> 16)) * 2246822507
    x = (x ^ (x >> 13)) * 3266489909
    return ((x ^ (x >> 16)) >> 8).to(tl.int32) >= limit


@triton.jit
def cross_entropy(outputs, targets, weights, smoothing, n_classes, OUTPUTS: tl.constexpr):
    """The loss and its gradient; see `models.eager.losses.cross_entropy`.

    Args:
        outputs: (OUTPUTS, columns) logits, of which the first `n_classes` count.
        targets: (OUTPUTS, columns): each column's weight at its class.
        weights: (columns,).
    """
    is_class = (tl.arange(0, OUTPUTS) < n_classes)[:, None]
    targets = tl.where(is_class, targets * (1 - smoothing) + weights[None, :] * (smoothing / n_classes), 0)
    logits = tl.where(is_class, outputs, float("-inf"))
    shifted = outputs - tl.max(logits, axis=0)[None, :]
    raised = tl.where(is_class, tl.exp(shifted), 0)
    total = tl.sum(raised, axis=0)
    loss = tl.sum(weights * tl.log(total), axis=0) - tl.sum(
        tl.sum(tl.where(is_class, shifted * targets, 0), axis=1), axis=0
    )
    return loss, raised * (weights / total)[None, :] - targets


@triton.jit
def error_loss(output, target, offset, weights, name, bend):
    """The loss of one output and its gradient, (columns,): the `name`-th of `models.rules.LOSSES`, from 1."""
    error = output - target
    part, gradient = error * error, 2 * error
    if name == 2:
        part, gradient = tl.abs(error), tl.where(error > 0, 1, tl.where(error < 0, -1, error))
    if name == 3:
        clipped = tl.where(error > bend, bend, tl.where(error < -bend, -bend, error))
        part, gradient = (error - clipped * 0.5) * clipped, clipped
    if name == 4:
        mean = tl.exp(output + offset)
        part, gradient = mean - (output + offset) * target, mean - target
    is_real = weights > 0
    return tl.sum(tl.where(is_real, part * weights, 0), axis=0), tl.where(is_real, gradient * weights, 0)


@triton.jit
def updated(p, g, m, v, rule, pace, numbers, USED: tl.constexpr):
    """A parameter and its moments after a step; see `models.eager.optim`.

    Args:
        p: parameters, as g, their gradients, and m and v, the first and the second moments.
        rule: of `models.rules.FAMILIES`.
        pace: the learning rate, the same over Adam's first correction, and 1 over the root of the second one.
        numbers: of the rule.
        USED: a bit for each rule of the pack.
    """
    rate, corrected, scale = pace
    g += p * tl.load(numbers + L2)
    if USED & 1:
        if rule == 0:
            momentum = tl.load(numbers + MOMENTUM)
            m = m * momentum + g
            p -= rate * tl.where(tl.load(numbers + NESTEROV) > 0, g + momentum * m, m)
    if USED & 2:
        if rule == 1:
            v = v * tl.load(numbers + KEEP) + tl.load(numbers + ADD) * g * g
            m = m * tl.load(numbers + MOMENTUM) + g / (tl.sqrt(v) + tl.load(numbers + EPS))
            p -= rate * m
    if USED & 4:
        if rule == 2:
            m = m * tl.load(numbers + BETA1) + tl.load(numbers + NEW1) * g
            v = v * tl.load(numbers + BETA2) + tl.load(numbers + NEW2) * g * g
            p = p * (1 - rate * tl.load(numbers + DECOUPLED)) - corrected * m / (
                tl.sqrt(v) * scale + tl.load(numbers + EPS)
            )
    return p, m, v
