"""One feed-forward network in plain PyTorch: what a member of a pack trains, and what `models/fnn.py` computes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from foldstep.models.catalog.norms import EPSILON, MOMENTUM
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.init import initial_weights
from foldstep.models.stack import Weights

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "relu6": nn.ReLU6,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


_NORM_NAMES = {"scale": "weight", "shift": "bias"}


_NORMS: dict[str, Callable[[int, torch.dtype], nn.Module]] = {
    "none": lambda _width, _dtype: nn.Identity(),
    "batch": lambda width, dtype: nn.BatchNorm1d(width, eps=EPSILON, momentum=MOMENTUM, dtype=dtype),
    "layer": lambda width, dtype: nn.LayerNorm(width, eps=EPSILON, dtype=dtype),
}


class FNN(nn.Module):
    """A feed-forward network: linear layers, each but the last followed by a normalisation (or none) and an activation.

    Shape:
        input (rows, n_inputs), output (rows, n_outputs): logits, or the standardised target.
    """

    def __init__(self, hp: Hyperparameters, n_inputs: int, n_outputs: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        sizes = (n_inputs, *hp.hidden, n_outputs)
        self.linears = nn.ModuleList(
            nn.Linear(sizes[i], sizes[i + 1], bias=hp.has_bias(i), dtype=dtype) for i in range(len(sizes) - 1)
        )
        self.norms = nn.ModuleList(_NORMS[hp.norm](width, dtype) for width in hp.hidden)
        self.activations = nn.ModuleList(_ACTIVATIONS[name]() for name in hp.activation)
        self._initialise(hp)

    def _initialise(self, hp: Hyperparameters) -> None:
        with torch.no_grad():
            for layer, linear in enumerate(self._layers()):
                weights = initial_weights(hp.init, hp.seed, layer, linear.in_features, linear.out_features)
                linear.weight.copy_(torch.from_numpy(weights * hp.init_gain))
                if hp.has_bias(layer):
                    linear.bias.fill_(hp.bias_init)

    def load(self, weights: Weights) -> None:
        """Load trained weights and switch to evaluation mode."""
        with torch.no_grad():
            for i, layer in enumerate(weights):
                norm = self.norms[i] if i < len(self.norms) else None
                for name, values in layer.items():
                    module = self.linears[i] if name in ("weight", "bias") else norm
                    target = getattr(module, _NORM_NAMES.get(name, name))
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
        linears = self._layers()
        if dropout_masks is not None:
            x = x * dropout_masks[0]
        for i, activation in enumerate(self.activations):
            x = activation(self.norms[i](linears[i](x)))
            if dropout_masks is not None:
                x = x * dropout_masks[i + 1]
        return linears[-1](x)  # type: ignore[no-any-return]
