"""The scalers over any operations; `worker.data.scalers` fits them, and is the same in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from foldstep.portable.normal import normal_quantile
from foldstep.portable.ops import Ops, Value
from foldstep.worker.data.scalers import CLIP, State

_HUGE = 1e100  # its square fits into a double, and the clipped value is the bound already
_LEAST_SHARE = 1e-7 - np.spacing(1)  # as in `worker.data.scalers`


def _affine(ops: Ops, x: Value, state: State) -> Value:
    return (x - ops.constant(state["center"], x)) / ops.constant(state["scale"], x)


def _robust_clip(ops: Ops, x: Value, state: State) -> Value:
    z = (x - ops.constant(state["center"], x)) * ops.constant(state["factor"], x)
    z = ops.minimum(ops.maximum(z, -_HUGE), _HUGE)
    share = z / CLIP
    return z / ops.sqrt(share * share + 1.0)


def _whiten(ops: Ops, x: Value, state: State) -> Value:
    n_columns = len(state["center"])
    return ops.matmul(_affine(ops, x, state), ops.constant(state["rotation"].reshape(n_columns, n_columns), x))


def _quantile(ops: Ops, x: Value, state: State) -> Value:
    """Compute normal scores; a value that several quantiles share gets the middle of them."""
    quantiles = state["quantiles"]
    if quantiles.shape[1] == 1:
        return x * 0.0
    low, high = ops.constant(quantiles[:, 0], x), ops.constant(quantiles[:, -1], x)
    share = (_share(ops, x, quantiles, is_upper=True) + _share(ops, x, quantiles, is_upper=False)) / 2.0
    share = ops.where(x <= low, 0.0, ops.where(x >= high, 1.0, share))
    share = ops.minimum(ops.maximum(share, float(_LEAST_SHARE)), float(1 - _LEAST_SHARE))
    is_constant = ops.constant((quantiles[:, 0] == quantiles[:, -1]).astype(np.float64), x)
    return ops.where(is_constant > 0.5, 0.0, normal_quantile(ops, share))


def _share(ops: Ops, x: Value, quantiles: np.ndarray, *, is_upper: bool) -> Value:
    """Interpolate the share of each value between the quantiles around it, (rows, columns).

    Args:
        ops: the operations.
        x: (rows, columns).
        quantiles: (columns, quantiles), ascending.
        is_upper: whether a value that equals several gets the upper end of them, else the lower one.
    """
    n_columns, n = quantiles.shape
    base = ops.constant(np.arange(n_columns) * float(n), x)
    flat = ops.constant(quantiles.ravel(), x)
    at = _found(ops, x, flat, base, n, is_upper=is_upper)
    gaps = np.diff(quantiles, append=quantiles[:, -1:])
    inverse = np.divide(1.0, gaps, out=np.zeros_like(gaps), where=gaps > 0)
    within = (x - ops.gather(flat, at + base)) * ops.gather(ops.constant(inverse.ravel(), x), at + base)
    return (at + ops.minimum(within, 1.0)) / float(n - 1)


def _found(ops: Ops, x: Value, flat: Value, base: Value, n: int, *, is_upper: bool) -> Value:
    """Find the last quantile that is at most (upper) or below (lower) each value, the first if none is, by halving."""
    at, step = x * 0.0, 1 << (n - 1).bit_length()
    while step := step // 2:
        further = ops.minimum(at + float(step), float(n - 1))
        value = ops.gather(flat, further + base)
        is_reached = x >= value if is_upper else x > value
        at = ops.where(is_reached, further, at)
    return at


SCALINGS: Mapping[str, Callable[[Ops, Value, State], Value]] = {
    "none": lambda _ops, x, _state: x,
    "center": _affine,
    "standard": _affine,
    "minmax": _affine,
    "robust": _affine,
    "robust_clip": _robust_clip,
    "quantile": _quantile,
    "whiten": _whiten,
}
"""By the name in the hyperparameter `scaler`; a test checks that none is missing."""
