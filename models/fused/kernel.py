"""The kernel: each program computes all steps of an epoch for one member.

Values are (unit, column), as in `models.eager`; sizes are padded to powers of two, and entries beyond a member's real
units are zero and stay zero. Activations and gradients are kept in registers. Weights and moments are read from and
written to global memory in every step; between the steps they stay in the second-level cache, into which the members
that are computed at the same time fit.
"""

from __future__ import annotations

import triton
import triton.language as tl

from foldstep.models.fused.functions import activated, cross_entropy, error_loss, kept, numbers, slope, updated
from foldstep.models.fused.numbers import LAYER_COLUMNS, MEMBER_COLUMNS, REAL_COLUMNS

GROUP, STREAM, RULE, LOSS = numbers(MEMBER_COLUMNS, ("group", "stream", "rule", "loss"))
WEIGHT, BIAS, OWN_UNITS, ROW, ACTIVATION, DROPPED = numbers(
    LAYER_COLUMNS, ("weight", "bias", "own_units", "row", "activation", "dropped")
)
OF_MEMBER, OF_LAYER = tl.constexpr(len(MEMBER_COLUMNS)), tl.constexpr(len(LAYER_COLUMNS))
SMOOTHING, NUMBER = numbers(REAL_COLUMNS, ("smoothing", "number"))
KEPT_SCALE = tl.constexpr(len(REAL_COLUMNS))


# -- a layer's numbers ----------------------------------------------------------------------------------------------


@triton.jit
def matrix(layer, OUT: tl.constexpr, IN: tl.constexpr):
    """Compute the offsets of a layer's weights, (OUT, IN), and a mask of those that are not padding.

    The loads are volatile; otherwise the compiler keeps the offsets of all layers in registers from step to step.
    """
    rows, columns = tl.arange(0, OUT)[:, None], tl.arange(0, IN)[None, :]
    n_in = tl.load(layer + ROW, volatile=True).to(tl.int32)
    n_out = tl.load(layer + OWN_UNITS, volatile=True).to(tl.int32)
    return rows * n_in + columns, (rows < n_out) & (columns < n_in)


@triton.jit
def vector(layer, OUT: tl.constexpr):
    """Compute the offsets of a layer's biases, (OUT,), and a mask of those that are not padding."""
    return tl.arange(0, OUT), tl.arange(0, OUT) < tl.load(layer + OWN_UNITS, volatile=True)


@triton.jit
def weights_of(buffer, layer, OUT: tl.constexpr, IN: tl.constexpr):
    """Load the weights of a layer, (OUT, IN), from a stack's buffer."""
    at, own = matrix(layer, OUT, IN)
    return tl.load(buffer + tl.load(layer + WEIGHT) + at, own, 0)


@triton.jit
def linear(parameters, layer, below, OUT: tl.constexpr, IN: tl.constexpr, PRECISION: tl.constexpr):
    """Compute the pre-activations of a layer, (OUT, columns)."""
    w = weights_of(parameters, layer, OUT, IN)
    at, own = vector(layer, OUT)
    b = tl.load(parameters + tl.load(layer + BIAS) + at, own, 0)
    return tl.dot(w, below, input_precision=PRECISION, out_dtype=w.dtype) + b[:, None]


@triton.jit
def update(stacks, start, at, own, g, rule, pace, numbers, RULES: tl.constexpr, REMEMBERS: tl.constexpr):
    """Update parameters and their moments in place, at the positions `start + at` of the buffers."""
    parameters, first, second = stacks
    p, m = tl.load(parameters + start + at, own, 0), tl.load(first + start + at, own, 0)
    v = tl.load(second + start + at, own, 0) if REMEMBERS else tl.zeros_like(m)
    p, m, v = updated(p, g, m, v, rule, pace, numbers, RULES)
    tl.store(parameters + start + at, p, own)
    tl.store(first + start + at, m, own)
    if REMEMBERS:
        tl.store(second + start + at, v, own)


@triton.jit
def drop(x, key, layer, scale, noise_row, UNITS: tl.constexpr, COLUMNS: tl.constexpr):
    """Apply a hidden layer's dropout to its activations, or to their gradient."""
    limit = tl.load(layer + DROPPED).to(tl.int32)
    is_kept = kept(tl.load(key), tl.load(key + 1), limit, noise_row, UNITS, COLUMNS)
    return tl.where(is_kept, x * tl.load(scale), 0)


# -- a step -----------------------------------------------------------------------------------------------------------


@triton.jit
def loss_of(z, truth, weights, columns, is_column, name, real, n_columns, n_channels, n_outputs, OUTPUTS: tl.constexpr,
            LOSSES: tl.constexpr, CLASSIFIES: tl.constexpr):  # fmt: skip
    """Compute the loss of the outputs z, (OUTPUTS, columns), and its gradient."""
    outs = tl.arange(0, OUTPUTS)
    weight = tl.load(weights + columns, is_column, 0)
    if CLASSIFIES:
        is_there = (outs < n_channels)[:, None] & is_column[None, :]
        target = tl.load(truth + outs[:, None] * n_columns + columns[None, :], is_there, 0)
        loss, delta = cross_entropy(z, target, weight, tl.load(real + SMOOTHING), n_outputs, OUTPUTS)
    else:
        output = tl.sum(tl.where((outs == 0)[:, None], z, 0), axis=0)
        target = tl.load(truth + columns, is_column, 0)
        offset = tl.load(truth + n_columns + columns, is_column & (n_channels > 1), 0)
        loss, gradient = error_loss(output, target, offset, weight, name, tl.load(real + NUMBER), LOSSES)
        delta = tl.where((outs == 0)[:, None], gradient[None, :], 0)
    return loss, delta


@triton.jit
def forward(parameters, layers, x, keys, n_streams, scales, noise_row, DEPTH: tl.constexpr, INPUTS: tl.constexpr,
            UNITS: tl.constexpr, OUTPUTS: tl.constexpr, COLUMNS: tl.constexpr, ACTIVATIONS: tl.constexpr,
            DROPS: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """Compute the outputs, the input of each layer, and each hidden layer's pre-activations and activations."""
    below, before, hidden = (x,), (), ()
    for i in tl.static_range(DEPTH):
        layer = layers + i * OF_LAYER
        z = linear(parameters, layer, below[i], UNITS, UNITS if i > 0 else INPUTS, PRECISION)
        is_unit = (tl.arange(0, UNITS) < tl.load(layer + OWN_UNITS))[:, None]
        h = tl.where(is_unit, activated(z, tl.load(layer + ACTIVATION), ACTIVATIONS), 0)
        before, hidden = before + (z,), hidden + (h,)
        if DROPS:
            h = drop(h, keys + (i + 1) * n_streams * 2, layer, scales + i, noise_row, UNITS, COLUMNS)
        below = below + (h,)
    layer = layers + DEPTH * OF_LAYER
    outputs = linear(parameters, layer, below[DEPTH], OUTPUTS, UNITS if DEPTH > 0 else INPUTS, PRECISION)
    return outputs, below, before, hidden


@triton.jit
def update_layer(stacks, layer, delta, below, rule, pace, numbers, OUT: tl.constexpr, IN: tl.constexpr,
                 RULES: tl.constexpr, REMEMBERS: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """Update a layer's weights and biases, from the gradient with respect to its pre-activations."""
    g = tl.dot(delta, tl.trans(below), input_precision=PRECISION, out_dtype=delta.dtype)
    at, own = matrix(layer, OUT, IN)
    update(stacks, tl.load(layer + WEIGHT), at, own, g, rule, pace, numbers, RULES, REMEMBERS)
    at, own = vector(layer, OUT)
    update(stacks, tl.load(layer + BIAS), at, own, tl.sum(delta, axis=1), rule, pace, numbers, RULES, REMEMBERS)


@triton.jit
def backward(stacks, layers, delta, below, before, hidden, keys, n_streams, scales, noise_row, rule, pace, numbers,
             DEPTH: tl.constexpr, INPUTS: tl.constexpr, UNITS: tl.constexpr, OUTPUTS: tl.constexpr,
             COLUMNS: tl.constexpr, ACTIVATIONS: tl.constexpr, RULES: tl.constexpr, DROPS: tl.constexpr,
             REMEMBERS: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """Backpropagate the gradient of the outputs and update all layers; the other values are those of `forward`."""
    for i in tl.static_range(DEPTH, -1, -1):
        layer, above = layers + i * OF_LAYER, delta
        if i > 0:
            w = weights_of(stacks[0], layer, OUTPUTS if i == DEPTH else UNITS, UNITS)
            delta = tl.dot(tl.trans(w), above, input_precision=PRECISION, out_dtype=w.dtype)
            if DROPS:
                key = keys + i * n_streams * 2
                delta = drop(delta, key, layer - OF_LAYER, scales + i - 1, noise_row, UNITS, COLUMNS)
            which = tl.load(layer - OF_LAYER + ACTIVATION)
            delta *= slope(before[i - 1], hidden[i - 1], which, ACTIVATIONS)
        tl.debug_barrier()  # all threads have read the weights before some threads change them
        update_layer(stacks, layer, above, below[i], rule, pace, numbers, OUTPUTS if i == DEPTH else UNITS,
                     UNITS if i > 0 else INPUTS, RULES, REMEMBERS, PRECISION)  # fmt: skip


# Long: a kernel cannot take objects, so everything that it reads and writes is an argument, which its loops share.
@triton.jit(do_not_specialize=["start", "stop", "first_member", "n_members", "n_groups", "n_streams"])
def take_steps(
    parameters, first, second, inputs, targets, weights, rates, paces, scales, noise, whole, real, losses,
    start, stop, first_member, n_members, n_groups, n_streams, n_noise_layers, noise_row, n_columns, n_inputs,
    n_channels, n_outputs, n_whole, n_real,
    DEPTH: tl.constexpr, INPUTS: tl.constexpr, UNITS: tl.constexpr, OUTPUTS: tl.constexpr, COLUMNS: tl.constexpr,
    ACTIVATIONS: tl.constexpr, LOSSES: tl.constexpr, RULES: tl.constexpr, CLASSIFIES: tl.constexpr,
    DROPS: tl.constexpr, REMEMBERS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Take the steps `start` (included) to `stop` (excluded) of an epoch for members of one depth.

    Args:
        parameters: buffer of the weights' stack.
        first: buffer of the first moments' stack.
        second: buffer of the second moments' stack; not read unless REMEMBERS.
        inputs: (steps, groups, columns, inputs).
        targets: (steps, groups, channels, columns).
        weights: (steps, groups, columns).
        rates: (steps, members), like `paces` and `scales`: the three numbers of `pace` in `updated`.
        noise: (steps, noise layers, streams, 2) int32; not read unless DROPS.
        whole: (members, n_whole) int64, see `models.fused.members.MemberTables`.
        real: (members, n_real), see there.
        losses: (members,), receives each member's sum of losses over the steps.
        first_member: the first member of this launch.
        DEPTH: number of hidden layers.
        INPUTS: padded number of inputs; UNITS (of every hidden layer), OUTPUTS and COLUMNS are padded numbers, too.
        ACTIVATIONS: bits of the activations of the pack; LOSSES and RULES are such bits, too.
        CLASSIFIES: whether the loss is the cross entropy.
        DROPS: whether a member of the pack drops units.
        REMEMBERS: whether the pack has second moments.
        PRECISION: `input_precision` of the products, see `triton.language.dot`.
    """
    member = first_member + tl.program_id(0)
    whole += member.to(tl.int64) * n_whole
    real += member.to(tl.int64) * n_real
    layers, kept_scales = whole + OF_MEMBER, real + KEPT_SCALE
    group, stream, rule, name = tl.load(whole), tl.load(whole + STREAM), tl.load(whole + RULE), tl.load(whole + LOSS)
    columns, is_column = tl.arange(0, COLUMNS), tl.arange(0, COLUMNS) < n_columns
    rows, is_input = tl.arange(0, INPUTS), tl.arange(0, INPUTS) < n_inputs
    total = tl.sum(tl.zeros((OUTPUTS,), parameters.dtype.element_ty), axis=0)

    for step in range(start, stop):
        of_step = step * n_groups + group
        keys = noise + (step * n_noise_layers * n_streams + stream) * 2
        x = inputs + of_step * n_columns * n_inputs + columns[None, :] * n_inputs + rows[:, None]
        read = tl.load(x, is_input[:, None] & is_column[None, :], 0)
        z, below, before, hidden = forward(
            parameters, layers, read, keys, n_streams, kept_scales, noise_row, DEPTH, INPUTS, UNITS, OUTPUTS, COLUMNS,
            ACTIVATIONS, DROPS, PRECISION,
        )  # fmt: skip
        truth = targets + of_step * n_channels * n_columns
        loss, delta = loss_of(
            z, truth, weights + of_step * n_columns, columns, is_column, name, real, n_columns, n_channels, n_outputs,
            OUTPUTS, LOSSES, CLASSIFIES,
        )  # fmt: skip
        total += loss

        at = step * n_members + member
        pace = tl.load(rates + at), tl.load(paces + at), tl.load(scales + at)
        stacks = parameters, first, second
        backward(
            stacks, layers, delta, below, before, hidden, keys, n_streams, kept_scales, noise_row, rule, pace, real,
            DEPTH, INPUTS, UNITS, OUTPUTS, COLUMNS, ACTIVATIONS, RULES, DROPS, REMEMBERS, PRECISION,
        )  # fmt: skip
        tl.debug_barrier()  # the next step reads weights that this one has written

    tl.store(losses + member, total)
