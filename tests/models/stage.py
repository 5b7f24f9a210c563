"""The input stage of one network in plain PyTorch, as the papers define its embeddings; see `models/input_stage.py`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.input_stage import InputStage
from foldstep.models.weights import Layer


def piecewise(numbers: Tensor, edges: tuple[tuple[float, ...], ...], bins: int) -> Tensor:
    """Encode columns, (rows, columns) to (rows, columns, bins), by equation 1 of 2203.05556; 0 for no bin."""
    encoded = numbers.new_zeros(*numbers.shape, bins)
    for j, of_column in enumerate(edges):
        exact, n = torch.tensor(of_column, dtype=torch.float64), len(of_column) - 1
        left, inverse = exact[:-1].to(numbers.dtype), (1 / exact.diff()).to(numbers.dtype)
        lowest, greatest = torch.zeros(n, dtype=numbers.dtype), torch.ones(n, dtype=numbers.dtype)
        lowest[0], greatest[-1] = -math.inf, math.inf
        encoded[:, j, :n] = ((numbers[:, j, None] - left) * inverse).clamp(lowest, greatest)
    return encoded


class StageModule(nn.Module):
    """What is between the inputs and the first layer of one network.

    Shape:
        input (rows, n_inputs), output (rows, stage.n_units).
    """

    def __init__(self, stage: InputStage, hp: Hyperparameters, dtype: torch.dtype) -> None:
        super().__init__()
        self.stage, self.kind = stage, stage.kind
        n = len(stage.embedded)
        size, maps = hp.embedding_size - (self.kind == "pbld"), 1 if hp.embedding_shared == "all" else n
        features = {"pbld": stage.frequencies, "piecewise": stage.bins + 1}.get(self.kind, 2 * stage.frequencies)
        shapes = {
            "frequency": (n, stage.frequencies), "phase": (n, stage.frequencies * (self.kind == "pbld")),
            "linear": (min(maps, n), size, features), "linear_bias": (min(maps, n), size),
            "missing": (len(stage.missing),), "input_scale": (stage.n_units * (hp.input_scale == "trained"),),
        }  # fmt: skip
        sizes = {name: math.prod(shape) for name, shape in shapes.items()}
        empty = {name: torch.empty(shape, dtype=dtype) for name, shape in shapes.items() if sizes[name]}
        self.own = nn.ParameterDict({name: nn.Parameter(tensor) for name, tensor in empty.items()})
        self.categories = nn.ModuleList(nn.Embedding(n, width, dtype=dtype) for _, n, width in stage.codes)
        self.load(stage.initial(hp.seed))

    def load(self, parts: Layer) -> None:
        """Load the numbers of the stage."""
        with torch.no_grad():
            for name, parameter in self.own.items():
                parameter.copy_(torch.from_numpy(parts[name]).view(parameter.shape))
            first = 0
            for table in self._tables():
                numbers = parts["category"][first : first + table.weight.numel()]
                table.weight.copy_(torch.from_numpy(numbers).view_as(table.weight))
                first += table.weight.numel()

    def _tables(self) -> list[nn.Embedding]:
        return [table for table in self.categories if isinstance(table, nn.Embedding)]

    def forward(self, x: Tensor) -> Tensor:
        """Compute what the first layer reads, (rows, stage.n_units)."""
        if self.stage.missing:
            columns = list(x.unbind(dim=1))
            for i, (flag, value) in enumerate(self.stage.missing):
                columns[value] = columns[value] + columns[flag] * self.own["missing"][i]
            x = torch.stack(columns, dim=1)
        coded = [at for at, _, _ in self.stage.codes]
        values = [self._embedded(x[:, list(self.stage.embedded)])] if self.stage.embedded else []
        values += [table(x[:, at].long()) for at, table in zip(coded, self._tables(), strict=True)]
        others = [i for i in range(x.shape[1]) if i not in (*self.stage.embedded, *coded)]
        together = torch.cat([*values, x[:, others]], dim=1)
        return together * self.own["input_scale"] if "input_scale" in self.own else together

    def _embedded(self, numbers: Tensor) -> Tensor:
        weight = self.own["linear"].expand(numbers.shape[1], -1, -1)
        values: Tensor = torch.einsum("rjf,jlf->rjl", self._features(numbers), weight) + self.own["linear_bias"]
        if self.kind == "plr":
            values = values.relu()
        if self.kind == "pbld":
            values = torch.cat([values, numbers[:, :, None]], dim=2)
        return values.flatten(1)

    def _features(self, numbers: Tensor) -> Tensor:
        if self.kind == "piecewise":
            encoded = piecewise(numbers, self.stage.edges, self.stage.bins)
            return torch.cat([encoded, numbers[:, :, None]], dim=2)
        angles = 2 * math.pi * numbers[:, :, None] * self.own["frequency"]
        if self.kind == "pbld":
            return torch.cos(angles + self.own["phase"])
        return torch.cat([torch.cos(angles), torch.sin(angles)], dim=2)
