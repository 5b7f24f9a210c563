"""The numbers that a network starts with: drawn from its seed and, where its hyperparameters say so, fitted to rows.

- `bias_init_mode: data`: a bias is minus a random convex combination of the layer's products for five random rows, so
  that the kinks of the units lie among the rows: "he+5" of Steinwart (2019, arXiv 1903.11482), as in RealMLP
  (Holzmüller et al. 2024, arXiv 2407.04491)
- `init: data_normal`: weights of normal draws, then each unit's scaled to products of deviation 1 over the rows, as in
  RealMLP
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from foldstep.models.catalog.units import UNITS
from foldstep.models.fnn import hidden, normalised, staged
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.init import init_for, initial_weights, second_of
from foldstep.models.input_stage import InputStage
from foldstep.models.streams import bias_generator

MAX_ROWS = 2_048
"""Rows that a start is fitted to, at most, evenly spaced among the training rows."""
_CORNERS = 5

Numbers = npt.NDArray[np.float64]


def starting_layers(
    hp: Hyperparameters, sizes: tuple[int, ...], rows: npt.NDArray[np.float32] | None, stage: InputStage | None = None
) -> list[dict[str, Numbers]]:
    """Compute weight (out, in) and bias (out,) of each layer, and those of second linear maps.

    Args:
        hp: the network's hyperparameters.
        sizes: units of every layer, from what the first one reads to the output.
        rows: (rows, inputs) training rows; None only if nothing is fitted to them.
        stage: what is between the inputs and the first layer; None for nothing.

    Raises:
        ValueError: something is fitted to rows, and there are none.
    """
    if hp.starts_from_data and rows is None:
        raise ValueError("expected rows to fit the start of the network to, however: none")
    x = _read_by_first(hp, rows, stage) if hp.starts_from_data and rows is not None else None
    layers = []
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        if i == len(hp.hidden) and hp.output_init == "zero":
            layers.append({"weight": np.zeros((fan_out, fan_in)), "bias": np.zeros(fan_out)})
            continue
        z = _map(hp, i, fan_in, fan_out, x, is_activated=i == len(hp.hidden) or UNITS[hp.units].is_activated)
        layers.append({"weight": z.weight, "bias": z.bias})
        if i == len(hp.hidden):
            continue
        second = _map(hp, second_of(i), fan_in, fan_out, x, is_activated=False) if hp.has_second else None
        if second is not None:
            layers[-1] |= {"second_weight": second.weight, "second_bias": second.bias}
        if x is not None:
            first = z.products + z.bias * hp.has_bias(i)
            h = _hidden(hp, i, first, None if second is None else second.products + second.bias)
            x = x + h if hp.skips(i) else h
    return layers


class _Map(NamedTuple):
    """The start of one linear map: its numbers, and the products of its weights (times their gain) and the rows."""

    weight: Numbers
    bias: Numbers
    products: Numbers


def _map(hp: Hyperparameters, number: int, fan_in: int, fan_out: int, x: Numbers | None, *, is_activated: bool) -> _Map:
    name = init_for(hp.init, is_activated=is_activated)
    weight = initial_weights(name, hp.seed, number, fan_in, fan_out) * hp.init_gain
    if hp.init == "data_normal" and x is not None:
        weight *= hp.init_gain / _above_zero(_products(x, weight).std(axis=0))[:, None]
    products = np.empty((0, fan_out)) if x is None else _products(x, weight)
    bias = hp.bias_init + BIASES[hp.bias_init_mode](bias_generator(hp.seed, number, fan_out), products, fan_in)
    return _Map(weight / hp.weight_gain(fan_in), bias, products)


def _read_by_first(hp: Hyperparameters, rows: npt.NDArray[np.float32], stage: InputStage | None) -> Numbers:
    if len(rows) > MAX_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, MAX_ROWS).astype(np.int64)]
    values = rows if stage is None else staged(stage, stage.initial(hp.seed), rows)
    return values.astype(np.float64)


def _products(x: Numbers, weight: Numbers) -> Numbers:
    """Multiply by PyTorch, which a worker lets use one thread, so that the bits are the same everywhere."""
    return (torch.from_numpy(np.ascontiguousarray(x)) @ torch.from_numpy(np.ascontiguousarray(weight)).t()).numpy()


def _hidden(hp: Hyperparameters, i: int, z: Any, second: Any) -> Numbers:
    """Compute the activations of a hidden layer from its linear maps, (rows, units); None for no second one."""
    read = normalised(hp, z, second)
    ones, zeros = np.ones(z.shape[1]), np.zeros(z.shape[1])
    norm: Any = {"scale": ones, "shift": zeros, "running_mean": read.mean(axis=0), "running_var": read.var(axis=0)}
    with np.errstate(all="ignore"):
        return np.asarray(hidden(hp, i, z, second, norm), dtype=np.float64)


def _above_zero(deviations: Numbers) -> Numbers:
    return np.where(deviations > 0, deviations, 1.0)


def _among_rows(generator: np.random.Generator, products: Numbers, _fan_in: int) -> Numbers:
    units = products.shape[1]
    at = generator.integers(len(products), size=(_CORNERS, units))
    shares = generator.standard_exponential((_CORNERS, units))
    corners = np.take_along_axis(products, at, axis=0)
    return np.asarray(-(corners * shares / shares.sum(axis=0)).sum(axis=0))


BIASES: Mapping[str, Callable[[np.random.Generator, Numbers, int], Numbers]] = {
    "constant": lambda _generator, products, _fan_in: np.zeros(products.shape[1]),
    "normal": lambda generator, products, _fan_in: np.asarray(generator.standard_normal(products.shape[1])),
    "uniform": lambda generator, products, fan_in: generator.uniform(-1, 1, products.shape[1]) / fan_in**0.5,
    "data": _among_rows,
}
"""By the value of the hyperparameter `bias_init_mode`; the products are (rows, units)."""
