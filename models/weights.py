"""The weights of one network in NumPy, as checkpoints hold them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Layer = dict[str, np.ndarray]
"""One layer of one network without padding, by name: weight (out, in), bias (out,), and where the layer is
normalised scale, shift (out,), for batch normalisation also running_mean, running_var (out,); where activations are
trained share (out,); where units have a second linear map second_weight (out, in), second_bias (out,). The first layer
also has the parts of the input stage, see `InputStage.shapes`."""
Weights = list[Layer]
"""The layers of one network without padding, from the first to the output layer."""


def weights_of(prefix: str, arrays: Mapping[str, np.ndarray]) -> Weights:
    """Collect the weights of a network from the arrays whose names begin with the prefix."""
    layers: dict[str, Layer] = {}
    for name in sorted(n for n in arrays if n.startswith(prefix)):
        layer, _, part = name.removeprefix(prefix).partition(".")
        layers.setdefault(layer, {})[part] = arrays[name]
    return [layers[i] for i in sorted(layers)]
