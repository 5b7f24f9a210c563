"""What a pass of a packed network reads, and the buffers that it fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from foldstep.models.eager.dropout import LayerDropout
from foldstep.models.eager.input_stage import StageSpace
from foldstep.models.layout import Run


@dataclass(frozen=True)
class Batch:
    """The input of a training step.

    Attributes:
        inputs: for each data group, (columns, padded inputs).
        weights: (members, 1, columns): 1 / rows for a row of the batch, 0 for a column that fills it up.
        dropout: (1 + hidden layers, streams, 2, 1, 1) int32: noise keys of the inputs and of each hidden layer; None
            if no member drops units.
        drops: (members, 1) float64 factors on the dropout rates; None for 1.
    """

    inputs: Sequence[Tensor]
    weights: Tensor
    dropout: Tensor | None
    drops: Tensor | None = None


@dataclass
class Workspace:
    """Buffers for passes over a fixed number of columns.

    Attributes:
        hidden: for each hidden layer (members with it, padded width, columns): its activations after a pass.
        below: for each hidden layer, the input of the next layer: `hidden`, or a copy with dropped units or its own
            input added.
        before: for each hidden layer its pre-activations, or None if no derivative needs them.
        seconds: for each hidden layer the second linear maps, then the gradients with respect to them; None where no
            member has one.
        firsts: for each hidden layer what they are joined with, see `Pairs.join`; None where no backward pass needs it.
        outputs: (members, padded outputs, columns).
        deltas: for each hidden layer the gradients with respect to `hidden`, then to the pre-activations.
        output_delta: gradient with respect to the outputs, in their shape.
        dropped_inputs: by run of `Layout.input_runs`, the inputs after dropout, (members, padded inputs, columns).
        dropouts: for each hidden layer its dropout, or None if no member drops its units.
        input_dropouts: by run of `Layout.input_runs`, the dropout of the inputs.
        stages: by run of `Layout.input_runs`, the buffers of its input stages.
    """

    hidden: list[Tensor]
    below: list[Tensor]
    before: list[Tensor | None]
    seconds: list[Tensor | None]
    firsts: list[Tensor | None]
    outputs: Tensor
    deltas: list[Tensor] = field(default_factory=list)
    output_delta: Tensor = field(default_factory=lambda: torch.empty(0))
    dropped_inputs: dict[Run, Tensor] = field(default_factory=dict)
    dropouts: list[LayerDropout | None] = field(default_factory=list)
    input_dropouts: dict[Run, LayerDropout] = field(default_factory=dict)
    stages: dict[Run, StageSpace] = field(default_factory=dict)

    def given(self, run: Run) -> Tensor | None:
        """Find what the first layer of a run's members reads, if that differs between them."""
        return self.stages[run].out if run in self.stages else self.dropped_inputs.get(run)
