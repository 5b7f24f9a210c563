"""One feed-forward network in stock PyTorch: what a member of a pack is, when it is alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.hyperparameters import Hyperparameters
from models.init import initial_weights

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class FNN(nn.Module):
    """Linear layers with an activation after each but the last.

    Shape:
        input (rows, n_inputs), output (rows, n_outputs): logits, or the standardised target.
    """

    def __init__(self, hp: Hyperparameters, n_inputs: int, n_outputs: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        sizes = (n_inputs, *hp.hidden, n_outputs)
        self.linears = nn.ModuleList(
            nn.Linear(sizes[i], sizes[i + 1], dtype=dtype) for i in range(len(sizes) - 1)
        )  # fmt: skip
        self.activations = nn.ModuleList(_ACTIVATIONS[name]() for name in hp.activation)
        self._initialise(hp)

    def _initialise(self, hp: Hyperparameters) -> None:
        with torch.no_grad():
            for layer, linear in enumerate(self._layers()):
                weights = initial_weights(hp.init, hp.seed, layer, linear.in_features, linear.out_features)
                linear.weight.copy_(torch.from_numpy(weights))
                linear.bias.zero_()

    def _layers(self) -> list[nn.Linear]:
        return [layer for layer in self.linears if isinstance(layer, nn.Linear)]

    def forward(self, x: Tensor, dropout_masks: list[Tensor] | None = None) -> Tensor:
        """Compute the outputs.

        Args:
            x: (rows, n_inputs).
            dropout_masks: one factor for each hidden layer, (rows, width): 0 where a unit is dropped, else
                1 / (1 - rate); None for no dropout, as in evaluation.
        """
        linears = self._layers()
        for i, activation in enumerate(self.activations):
            x = activation(linears[i](x))
            if dropout_masks is not None:
                x = x * dropout_masks[i]
        return linears[-1](x)  # type: ignore[no-any-return]
