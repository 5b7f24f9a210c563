"""An ensemble as a plain `torch.nn.Module`: no packs, no backends, nothing of Foldstep in its passes but formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor, nn

from foldstep.ensemble import Ensemble
from foldstep.portable.answers import answer, tempered, weighted_mean
from foldstep.portable.network import forward, prepared
from foldstep.worker.predictor import Predictor

_FIXED = ("mean", "edge", "inverse_width", "low", "high", "filled")
"""Beginnings of the names of arrays that are no trained parameters."""


class NetworkModule(nn.Module):
    """One network: from its preprocessed inputs (rows, inputs) to its raw outputs (rows, outputs), both float32."""

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor
        self.layers = nn.ModuleList(_Arrays(arrays) for arrays in prepared(predictor))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the raw outputs."""
        layers = [layer.named() for layer in self.layers]  # type: ignore[operator]
        outputs: Tensor = forward(_OPS, self.predictor.hp, layers, x, self.predictor.stage)
        return outputs


class EnsembleModule(nn.Module):
    """All networks of an ensemble: from the inputs of each to its probabilities or values.

    Probabilities are corrected for class weights and calibrated, as `predict_proba` gives them. Of counts with an
    exposure, values are those for an exposure of 1.

    Attributes:
        networks: the networks, each with its raw outputs.
        shares: the share of each in the mean.
        temperature: of the mean's probabilities; 1 for none.
    """

    def __init__(self, ensemble: Ensemble) -> None:
        super().__init__()
        self.networks = nn.ModuleList(NetworkModule(predictor) for predictor in ensemble.predictors)
        self.shares = ensemble.shares
        self.is_corrected = ensemble.is_correctable
        self.temperature = ensemble.adjustments.temperature
        self.is_one = ensemble.first.is_one_value

    def forward(self, *inputs: Tensor) -> Tensor:
        """Predict.

        Args:
            inputs: of each network its preprocessed inputs, (rows, inputs), float32, as `Model.inputs` gives them.

        Returns:
            (rows, classes), or values (rows,), (rows, quantiles) or (rows, targets), float64.
        """
        answers = [self._answer(network, x) for network, x in zip(self.networks, inputs, strict=True)]
        mean: Tensor = tempered(_OPS, weighted_mean(answers, self.shares), self.temperature)
        return mean[:, 0] if self.is_one else mean

    def _answer(self, network: Any, x: Tensor) -> Tensor:
        found: Tensor = answer(_OPS, network.predictor, network(x), is_corrected=self.is_corrected)
        return found


def module_of(ensemble: Ensemble) -> EnsembleModule:
    """Make the module of an ensemble, ready to predict."""
    return EnsembleModule(ensemble).eval()


def program_of(ensemble: Ensemble, file: IO[bytes], texts: Mapping[str, str]) -> None:
    """Write the module as a program of `torch.export`, for any number of rows.

    Args:
        ensemble: the networks.
        file: where it goes.
        texts: what is put beside the program, by name.
    """
    inputs = tuple(torch.zeros(3, predictor.preprocessor.columns.n_inputs) for predictor in ensemble.predictors)
    rows = torch.export.Dim("rows", min=1)
    with torch.no_grad():
        shapes = {"inputs": tuple({0: rows} for _ in inputs)}
        program = torch.export.export(module_of(ensemble), inputs, dynamic_shapes=shapes)
    torch.export.save(program, file, extra_files=dict(texts))


class _Arrays(nn.Module):
    """The arrays of one layer, as parameters; those that training does not change as buffers."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        super().__init__()
        for name, array in arrays.items():
            values = torch.tensor(np.ascontiguousarray(array, dtype=np.float32))
            if name.startswith(_FIXED):
                self.register_buffer(name, values)
            else:
                self.register_parameter(name, nn.Parameter(values))

    def named(self) -> dict[str, Tensor]:
        """List the tensors by name."""
        return {**dict(self.named_parameters()), **dict(self.named_buffers())}


class TorchOps:
    """The operations of `Ops` in PyTorch."""

    def exp(self, x: Tensor) -> Tensor:
        """Compute e^x."""
        return torch.exp(x)

    def log(self, x: Tensor) -> Tensor:
        """Compute the natural logarithm."""
        return torch.log(x)

    def sqrt(self, x: Tensor) -> Tensor:
        """Compute the square root."""
        return torch.sqrt(x)

    def tanh(self, x: Tensor) -> Tensor:
        """Compute the hyperbolic tangent."""
        return torch.tanh(x)

    def sigmoid(self, x: Tensor) -> Tensor:
        """Compute 1 / (1 + e^-x)."""
        return torch.sigmoid(x)

    def sin(self, x: Tensor) -> Tensor:
        """Compute the sine."""
        return torch.sin(x)

    def cos(self, x: Tensor) -> Tensor:
        """Compute the cosine."""
        return torch.cos(x)

    def erf(self, x: Tensor) -> Tensor:
        """Compute the error function."""
        return torch.erf(x)

    def floor(self, x: Tensor) -> Tensor:
        """Round down."""
        return torch.floor(x)

    def abs(self, x: Tensor) -> Tensor:
        """Compute the absolute value."""
        return torch.abs(x)

    def is_nan(self, x: Tensor) -> Tensor:
        """Tell where a value is NaN."""
        return torch.isnan(x)

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        """Multiply matrices."""
        return a @ b

    def constant(self, array: np.ndarray, like: Tensor) -> Tensor:
        """Make a value of an array."""
        return torch.as_tensor(array, dtype=like.dtype, device=like.device)

    def softplus(self, x: Tensor) -> Tensor:
        """Compute log(1 + e^x)."""
        return torch.logaddexp(x, torch.zeros_like(x))

    def maximum(self, a: Tensor, b: float | Tensor) -> Tensor:
        """Take the greater one; NaN stays."""
        return torch.maximum(a, b) if isinstance(b, Tensor) else a.clamp(min=b)

    def minimum(self, a: Tensor, b: float | Tensor) -> Tensor:
        """Take the smaller one; NaN stays."""
        return torch.minimum(a, b) if isinstance(b, Tensor) else a.clamp(max=b)

    def where(self, condition: Tensor, a: float | Tensor, b: float | Tensor) -> Tensor:
        """Choose by a condition."""
        return torch.where(condition, a, b)

    def concat(self, parts: Sequence[Tensor]) -> Tensor:
        """Put matrices beside each other."""
        return torch.cat(list(parts), dim=1)

    def total(self, x: Tensor) -> Tensor:
        """Sum each row."""
        return x.sum(dim=1, keepdim=True)

    def mean(self, x: Tensor) -> Tensor:
        """Average each row."""
        return x.mean(dim=1, keepdim=True)

    def greatest(self, x: Tensor) -> Tensor:
        """Find the maximum of each row."""
        return x.amax(dim=1, keepdim=True)

    def ascending(self, x: Tensor) -> Tensor:
        """Sort each row."""
        return x.sort(dim=1).values

    def columns(self, x: Tensor, indices: Sequence[int]) -> Tensor:
        """Take columns of a matrix."""
        return x[:, list(indices)]

    def vector(self, x: Tensor, index: int) -> Tensor:
        """Take one column of a matrix as a vector."""
        return x[:, index]

    def gather(self, table: Tensor, indices: Tensor) -> Tensor:
        """Take entries of a table by its first axis."""
        return table[indices.long()]

    def double(self, x: Tensor) -> Tensor:
        """Convert to float64."""
        return x.double()

    def single(self, x: Tensor) -> Tensor:
        """Convert to float32."""
        return x.float()


_OPS = TorchOps()
