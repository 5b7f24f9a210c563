"""Initial weights of one layer of one network, by name.

With fan_in inputs and fan_out outputs, and b the bound of a symmetric uniform distribution:

- uniform: b = 1 / sqrt(fan_in), the common heuristic that Glorot and Bengio (2010, eq. 1) start from
- lecun_uniform, lecun_normal: variance 1 / fan_in, LeCun et al. (1998, section 4.6)
- glorot_uniform, glorot_normal: variance 2 / (fan_in + fan_out), Glorot and Bengio (2010, eq. 12 and 16)
- he_uniform, he_normal: variance 2 / fan_in, He et al. (2015, eq. 10)
- data_normal: those of lecun_normal, which `models.start` then scales to the products for the training rows
- orthogonal: rows or columns, whichever are fewer, orthonormal, Saxe et al. (2014)

All are multiplied by `init_gain`; biases start at `bias_init`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

from foldstep.models.catalog.kinds import MAX_DEPTH
from foldstep.models.streams import weight_generator


def initial_weights(name: str, seed: int, layer: int, fan_in: int, fan_out: int) -> np.ndarray:
    """Draw the initial weights of one layer, shape (fan_out, fan_in), float64, before `init_gain`.

    Args:
        name: a value of the hyperparameter `init`.
        seed: the trial's seed.
        layer: 0 for the first; the layers of a network are drawn independently. That of a second linear map is
            numbered by `second_of`.
        fan_in: inputs of the layer, without padding.
        fan_out: units of the layer, without padding.
    """
    draws, deviation = _INITS[name]
    return draws(seed, layer, fan_in, fan_out) * deviation(fan_in, fan_out)


def init_for(name: str, *, is_activated: bool) -> str:
    """Find how a linear map of a hidden layer is drawn, where `init` has the name.

    He's variance makes up for what a rectifier cuts off. A map without an activation (the factor of gated units, both
    of maxout) is drawn with LeCun's instead: with He's each layer doubles the variance of what it makes.
    """
    return name if is_activated else name.replace("he_", "lecun_")


def second_of(layer: int) -> int:
    """Number the second linear map of a hidden layer: those of all layers come after the layers themselves."""
    return MAX_DEPTH + 1 + layer


# Trials of a search mostly share seed and shapes: the draws, of variance 1, are made once and scaled.


@lru_cache(maxsize=64)
def _uniform_draws(seed: int, layer: int, fan_in: int, fan_out: int) -> np.ndarray:
    bound = math.sqrt(3)
    return weight_generator(seed, layer, fan_in, fan_out).uniform(-bound, bound, (fan_out, fan_in))


@lru_cache(maxsize=64)
def _normal_draws(seed: int, layer: int, fan_in: int, fan_out: int) -> np.ndarray:
    return weight_generator(seed, layer, fan_in, fan_out).standard_normal((fan_out, fan_in))


@lru_cache(maxsize=64)
def _orthogonal(seed: int, layer: int, fan_in: int, fan_out: int) -> np.ndarray:
    draws = _normal_draws(seed, layer, fan_in, fan_out)
    tall = draws if fan_out >= fan_in else draws.T
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))  # makes the distribution uniform over the orthogonal matrices (Mezzadri 2007)
    return q if fan_out >= fan_in else np.ascontiguousarray(q.T)


def _lecun(fan_in: int, _fan_out: int) -> float:
    return 1 / math.sqrt(fan_in)


def _glorot(fan_in: int, fan_out: int) -> float:
    return math.sqrt(2 / (fan_in + fan_out))


def _he(fan_in: int, _fan_out: int) -> float:
    return math.sqrt(2 / fan_in)


_INITS: Mapping[str, tuple[Callable[[int, int, int, int], np.ndarray], Callable[[int, int], float]]] = {
    "uniform": (_uniform_draws, lambda fan_in, _: 1 / math.sqrt(3 * fan_in)),
    "lecun_uniform": (_uniform_draws, _lecun),
    "lecun_normal": (_normal_draws, _lecun),
    "glorot_uniform": (_uniform_draws, _glorot),
    "glorot_normal": (_normal_draws, _glorot),
    "he_uniform": (_uniform_draws, _he),
    "he_normal": (_normal_draws, _he),
    "data_normal": (_normal_draws, _lecun),
    "orthogonal": (_orthogonal, lambda _fan_in, _fan_out: 1.0),
}
"""By the value of the hyperparameter `init`: draws of variance 1 (or an orthogonal matrix), and their factor."""
