"""The activation functions, losses and update rules of the kernel: those of `models.eager`.

A choice that differs between members is a number that the kernel reads; `USED` has a bit for each choice that occurs in
the pack, and no code is compiled for the others. Comparisons are written so that NaN stays NaN. A number that no branch
answers for gives NaN, so a forgotten branch is never another function.
"""

from __future__ import annotations

import triton
import triton.language as tl

from foldstep.models.catalog.activations import LEAK as LEAK_SLOPE
from foldstep.models.catalog.activations import SELU_ALPHA, SELU_SCALE
from foldstep.models.fused.numbers import ACTIVATION_NAMES, FAMILY_NAMES, LOSS_NAMES, RULE_COLUMNS, bits


def numbers(table: tuple[str, ...], names: tuple[str, ...]) -> list[tl.constexpr]:
    """Find the indices of names in a table, as constants of the kernel.

    Raises:
        ValueError: one of the names is not in the table.
    """
    return [tl.constexpr(table.index(name)) for name in names]


_ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "relu6", "tanh", "sigmoid", "selu", "mish")
_ERRORS = ("mse", "mae", "huber", "poisson", "gamma", "tweedie")
_FAMILIES = ("sgd", "rms", "adam")
# the functions implemented here: index in the table and bit; static_assert below refuses the other names of a table
RELU, LEAKY_RELU, ELU, GELU, SILU, RELU6, TANH, SIGMOID, SELU, MISH = numbers(ACTIVATION_NAMES, _ACTIVATIONS)
(
    USED_RELU, USED_LEAKY_RELU, USED_ELU, USED_GELU, USED_SILU, USED_RELU6, USED_TANH, USED_SIGMOID, USED_SELU,
    USED_MISH,
) = (
    tl.constexpr(1 << number.value) for number in numbers(ACTIVATION_NAMES, _ACTIVATIONS)
)  # fmt: skip
MSE, MAE, HUBER, POISSON, GAMMA, TWEEDIE = numbers(LOSS_NAMES, _ERRORS)
USED_MSE, USED_MAE, USED_HUBER, USED_POISSON, USED_GAMMA, USED_TWEEDIE = (
    tl.constexpr(1 << number.value) for number in numbers(LOSS_NAMES, _ERRORS)
)
SGD, RMS, ADAM = numbers(FAMILY_NAMES, _FAMILIES)
USED_SGD, USED_RMS, USED_ADAM = (tl.constexpr(1 << number.value) for number in (SGD, RMS, ADAM))
KNOWN_ACTIVATIONS = tl.constexpr(bits(ACTIVATION_NAMES, set(_ACTIVATIONS)))
KNOWN_ERRORS = tl.constexpr(bits(LOSS_NAMES, set(_ERRORS)))
KNOWN_FAMILIES = tl.constexpr(bits(FAMILY_NAMES, set(_FAMILIES)))

MOMENTUM, NESTEROV, KEEP, ADD, BETA1, BETA2, EPS, L2, DECOUPLED, NEW1, NEW2 = numbers(
    RULE_COLUMNS, ("momentum", "nesterov", "keep", "add", "beta1", "beta2", "eps", "l2", "decoupled", "new1", "new2")
)

LEAK = tl.constexpr(LEAK_SLOPE)
SELU_ABOVE, SELU_BELOW = tl.constexpr(SELU_SCALE), tl.constexpr(SELU_SCALE * SELU_ALPHA)
ROOT_HALF = tl.constexpr(0.7071067811865476)
DENSITY_AT_0 = tl.constexpr(0.3989422804014327)  # of the normal distribution


@triton.jit
def sigmoid(z):
    """Compute 1 / (1 + exp(-z))."""
    return 1 / (1 + tl.exp(-z))


@triton.jit
def normal_share(z):
    """Compute the distribution function of the standard normal distribution."""
    return 0.5 * (1 + tl.erf(z * ROOT_HALF))


@triton.jit
def activated(z, name, USED: tl.constexpr):
    """Compute f(z) for the activation function f with index `name`."""
    tl.static_assert((KNOWN_ACTIVATIONS | USED) == KNOWN_ACTIVATIONS, "an activation that the kernel does not have")
    found = tl.full(z.shape, float("nan"), z.dtype)
    if USED_RELU & USED:
        if name == RELU:
            found = tl.where(z < 0, 0, z)
    if USED_LEAKY_RELU & USED:
        if name == LEAKY_RELU:
            found = tl.where(z < 0, z * LEAK, z)
    if USED_ELU & USED:
        if name == ELU:
            found = tl.where(z < 0, tl.exp(z) - 1, z)
    if USED_GELU & USED:
        if name == GELU:
            found = z * normal_share(z)
    if USED_SILU & USED:
        if name == SILU:
            found = z * sigmoid(z)
    if USED_RELU6 & USED:
        if name == RELU6:
            found = tl.where(z < 0, 0, tl.where(z > 6, 6, z))
    if USED_TANH & USED:
        if name == TANH:
            found = 2 * sigmoid(2 * z) - 1
    if USED_SIGMOID & USED:
        if name == SIGMOID:
            found = sigmoid(z)
    if USED_SELU & USED:
        if name == SELU:
            found = tl.where(z < 0, SELU_BELOW * (tl.exp(z) - 1), SELU_ABOVE * z)
    if USED_MISH & USED:
        if name == MISH:
            e = tl.exp(tl.where(z > 20, 20, z))
            found = z * (e * (e + 2) / (e * (e + 2) + 2))
    return found


@triton.jit
def slope(z, h, name, USED: tl.constexpr):
    """Compute the derivative f'(z), where h = f(z), for the activation function f with index `name`."""
    tl.static_assert((KNOWN_ACTIVATIONS | USED) == KNOWN_ACTIVATIONS, "an activation that the kernel does not have")
    found = tl.full(z.shape, float("nan"), z.dtype)
    if USED_RELU & USED:
        if name == RELU:
            found = tl.where(h > 0, 1.0, 0.0).to(z.dtype)
    if USED_LEAKY_RELU & USED:
        if name == LEAKY_RELU:
            found = tl.where(h > 0, 1.0, LEAK).to(z.dtype)
    if USED_ELU & USED:
        if name == ELU:
            found = tl.where(h > 0, 1, h + 1)
    if USED_GELU & USED:
        if name == GELU:
            found = normal_share(z) + z * DENSITY_AT_0 * tl.exp(-0.5 * z * z)
    if USED_SILU & USED:
        if name == SILU:
            found = sigmoid(z) * (1 + z * (1 - sigmoid(z)))
    if USED_RELU6 & USED:
        if name == RELU6:
            found = tl.where((h > 0) & (h < 6), 1.0, 0.0).to(z.dtype)
    if USED_TANH & USED:
        if name == TANH:
            found = 1 - h * h
    if USED_SIGMOID & USED:
        if name == SIGMOID:
            found = h * (1 - h)
    if USED_SELU & USED:
        if name == SELU:
            found = tl.where(h > 0, SELU_ABOVE, h + SELU_BELOW)
    if USED_MISH & USED:
        if name == MISH:
            near = tl.where(z > 20, 20, z)
            e = tl.exp(near)
            whole = e * (e + 2) + 2
            found = e * (e + 2) / whole + 4 * near * e * (e + 1) / (whole * whole)
    return found


@triton.jit
def kept(multiplier, offset, limit, noise_row, UNITS: tl.constexpr, COLUMNS: tl.constexpr):
    """Find the units of a layer that are kept, (units, columns) bool; draws as `models.noise.dropout_noise` does."""
    position = tl.arange(0, UNITS)[:, None] * noise_row + tl.arange(0, COLUMNS)[None, :]
    x = (position * multiplier + offset).to(tl.uint32, bitcast=True)
    x = (x ^ (x >> 16)) * 2246822507
    x = (x ^ (x >> 13)) * 3266489909
    return ((x ^ (x >> 16)) >> 8).to(tl.int32) >= limit


@triton.jit
def cross_entropy(outputs, targets, weights, smoothing, n_classes, OUTPUTS: tl.constexpr):
    """Compute the loss and its gradient; see `models.eager.losses.cross_entropy`.

    Args:
        outputs: (OUTPUTS, columns) logits; rows from `n_classes` on are padding.
        targets: (OUTPUTS, columns): each column's weight at its class.
        weights: (columns,), see `models.eager.losses`.
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
def error_loss(output, target, offset, weights, name, number, USED: tl.constexpr):
    """Compute the regression loss with index `name`, summed over the columns, and its gradient, (columns,)."""
    tl.static_assert((KNOWN_ERRORS | USED) == KNOWN_ERRORS, "a loss that the kernel does not have")
    error = output - target
    part = tl.full(error.shape, float("nan"), error.dtype)
    gradient = part
    if USED_MSE & USED:
        if name == MSE:
            part, gradient = error * error, 2 * error
    if USED_MAE & USED:
        if name == MAE:
            part, gradient = tl.abs(error), tl.where(error > 0, 1, tl.where(error < 0, -1, error))
    if USED_HUBER & USED:
        if name == HUBER:
            clipped = tl.where(error > number, number, tl.where(error < -number, -number, error))
            part, gradient = (error - clipped * 0.5) * clipped, clipped
    if USED_POISSON & USED:
        if name == POISSON:
            mean = tl.exp(output + offset)
            part, gradient = mean - (output + offset) * target, mean - target
    if USED_GAMMA & USED:
        if name == GAMMA:
            ratio = target * tl.exp(-(output + offset))
            part, gradient = output + offset + ratio, 1 - ratio
    if USED_TWEEDIE & USED:
        if name == TWEEDIE:
            whole = tl.exp((output + offset) * (2 - number))
            ratio = target * tl.exp((output + offset) * (1 - number))
            part, gradient = whole / (2 - number) - ratio / (1 - number), whole - ratio
    is_real = weights > 0
    return tl.sum(tl.where(is_real, part * weights, 0), axis=0), tl.where(is_real, gradient * weights, 0)


@triton.jit
def updated(p, g, m, v, rule, pace, numbers, USED: tl.constexpr):
    """Compute a parameter and its moments after a step; see `models.eager.optim`.

    Args:
        p: parameters.
        g: their gradients, with the shape of p.
        m: their first moments, with the shape of p.
        v: their second moments, with the shape of p.
        rule: index of the family.
        pace: the learning rate, the rate divided by Adam's first bias correction, and 1 / sqrt(the second correction).
        numbers: pointer to the rule's numbers, in the order of `RULE_COLUMNS`.
        USED: a bit for each family of the pack.
    """
    tl.static_assert((KNOWN_FAMILIES | USED) == KNOWN_FAMILIES, "a rule that the kernel does not have")
    rate, corrected, scale = pace
    g += p * tl.load(numbers + L2)
    found = tl.full(p.shape, float("nan"), p.dtype)
    if USED_SGD & USED:
        if rule == SGD:
            momentum = tl.load(numbers + MOMENTUM)
            m = m * momentum + g
            found = p - rate * tl.where(tl.load(numbers + NESTEROV) > 0, g + momentum * m, m)
    if USED_RMS & USED:
        if rule == RMS:
            v = v * tl.load(numbers + KEEP) + tl.load(numbers + ADD) * g * g
            m = m * tl.load(numbers + MOMENTUM) + g / (tl.sqrt(v) + tl.load(numbers + EPS))
            found = p - rate * m
    if USED_ADAM & USED:
        if rule == ADAM:
            m = m * tl.load(numbers + BETA1) + tl.load(numbers + NEW1) * g
            v = v * tl.load(numbers + BETA2) + tl.load(numbers + NEW2) * g * g
            found = p * (1 - rate * tl.load(numbers + DECOUPLED)) - corrected * m / (
                tl.sqrt(v) * scale + tl.load(numbers + EPS)
            )
    return found, m, v
