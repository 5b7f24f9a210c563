"""One feed-forward network in plain PyTorch: what a member of a pack trains, and what `models/fnn.py` computes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from foldstep.models.catalog.norms import EPSILON
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.input_stage import InputStage
from foldstep.models.start import starting_layers
from foldstep.models.weights import Weights
from tests.models.stage import StageModule

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "relu6": nn.ReLU6,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "selu": nn.SELU,
    "mish": nn.Mish,
}


UNITS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "plain": (lambda z, _second: z, lambda h, _second: h),
    "glu": (lambda z, _second: z, torch.mul),  # Dauphin et al. 2017, Shazeer 2020
    "maxout": (torch.maximum, lambda h, _second: h),  # Goodfellow et al. 2013, two pieces
}
"""How each kind of units joins two linear maps: before the normalisation, and after the activation."""


_NORM_NAMES = {"scale": "weight", "shift": "bias"}


_NORMS: dict[str, Callable[[int, float, torch.dtype], nn.Module]] = {
    "none": lambda _width, _momentum, _dtype: nn.Identity(),
    "batch": lambda width, momentum, dtype: nn.BatchNorm1d(width, eps=EPSILON, momentum=momentum, dtype=dtype),
    "layer": lambda width, _momentum, dtype: nn.LayerNorm(width, eps=EPSILON, dtype=dtype),
}


class FNN(nn.Module):
    """A feed-forward network: linear layers, each but the last followed by a normalisation (or none) and an activation.

    Shape:
        input (rows, n_inputs), output (rows, n_outputs): logits, or the standardised target.
    """

    def __init__(
        self,
        hp: Hyperparameters,
        n_inputs: int,
        n_outputs: int,
        dtype: torch.dtype = torch.float32,
        stage: InputStage | None = None,
        rows: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.stage = None if stage is None else StageModule(stage, hp, dtype)
        sizes = (n_inputs if stage is None else stage.n_units, *hp.hidden, n_outputs)
        self.linears = nn.ModuleList(
            nn.Linear(sizes[i], sizes[i + 1], bias=hp.has_bias(i), dtype=dtype) for i in range(len(sizes) - 1)
        )
        self.norms = nn.ModuleList(_NORMS[hp.norm](width, hp.norm_momentum, dtype) for width in hp.hidden)
        self.activations = nn.ModuleList(_ACTIVATIONS[name]() for name in hp.activation)
        self.before, self.after = UNITS[hp.units]
        pairs = list(pairwise(sizes[:-1])) if hp.units != "plain" else []
        self.units, self.seconds = hp.units, nn.ModuleList(nn.Linear(*pair, dtype=dtype) for pair in pairs)
        widths = hp.hidden if hp.activation_trained == "unit" and hp.units != "maxout" else ()
        self.shares = nn.ParameterDict({f"{i}": torch.ones(width, dtype=dtype) for i, width in enumerate(widths)})
        self.skips = [hp.skip == "residual" and i > 0 and sizes[i] == sizes[i + 1] for i in range(len(hp.hidden))]
        self.gains = [n**-0.5 if hp.parametrization == "ntk" else 1.0 for n in sizes[:-1]]
        self._initialise(hp, np.zeros((1, n_inputs), dtype=np.float32) if rows is None else rows)

    def _initialise(self, hp: Hyperparameters, rows: np.ndarray) -> None:
        linears = self._layers()
        stage = None if self.stage is None else self.stage.stage
        sizes = (linears[0].in_features, *(linear.out_features for linear in linears))
        with torch.no_grad():
            for layer, (linear, start) in enumerate(zip(linears, starting_layers(hp, sizes, rows, stage), strict=True)):
                linear.weight.copy_(torch.from_numpy(start["weight"]))
                if layer < len(self.seconds):
                    second = self.seconds[layer]
                    assert isinstance(second, nn.Linear)
                    second.weight.copy_(torch.from_numpy(start["second_weight"]))
                    second.bias.copy_(torch.from_numpy(start["second_bias"]))
                if hp.has_bias(layer):
                    linear.bias.copy_(torch.from_numpy(start["bias"]))

    def load(self, weights: Weights) -> None:
        """Load trained weights and switch to evaluation mode."""
        with torch.no_grad():
            for i, layer in enumerate(weights):
                norm = self.norms[i] if i < len(self.norms) else None
                if i == 0 and self.stage is not None:
                    self.stage.load(layer)
                for name, values in layer.items():
                    if self.stage is not None and name in self.stage.stage.shapes:
                        continue
                    if name == "share":
                        self.shares[f"{i}"].copy_(torch.from_numpy(values))
                        continue
                    module = self.linears[i] if name in ("weight", "bias") else norm
                    module = self.seconds[i] if name.startswith("second_") else module
                    target = getattr(module, _NORM_NAMES.get(name, name.removeprefix("second_")))
                    target.copy_(torch.from_numpy(values))
        self.eval()

    def _layers(self) -> list[nn.Linear]:
        return [layer for layer in self.linears if isinstance(layer, nn.Linear)]

    def forward(self, x: Tensor, dropout_masks: list[Tensor] | None = None) -> Tensor:
        """Compute the outputs, (rows, n_outputs).

        Args:
            x: (rows, n_inputs).
            dropout_masks: one factor for the inputs and one for each hidden layer, (rows, width): 0 where a unit is
                dropped, else 1 / (1 - rate); None for no dropout, as in evaluation.
        """
        if dropout_masks is not None:
            x = x * dropout_masks[0]
        if self.stage is not None:
            x = self.stage(x)
        for i, activation in enumerate(self.activations):
            z = self._linear(i, x)
            second = self._linear(i, x, self.seconds) if self.seconds else z
            z = self.norms[i](self.before(z, second))
            h = z if self.units == "maxout" else activation(z)
            if f"{i}" in self.shares:  # the parametric activation of RealMLP, arXiv 2407.04491
                h = torch.lerp(z, h, self.shares[f"{i}"])
            h = self.after(h, second)
            if dropout_masks is not None:
                h = h * dropout_masks[i + 1]
            x = x + h if self.skips[i] else h
        return self._linear(len(self.activations), x)

    def _linear(self, i: int, x: Tensor, of: nn.ModuleList | None = None) -> Tensor:
        linear = (self.linears if of is None else of)[i]
        assert isinstance(linear, nn.Linear)
        return functional.linear(x, linear.weight * self.gains[i], linear.bias)
