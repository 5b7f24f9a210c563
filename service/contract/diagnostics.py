"""The diagnostics that a worker records while it trains a fold, in addition to the learning curves.

The master gets and stores thousands of these, so they are sent as flat lists of numbers; `Reading.of` gives the numbers
their names when they are read. All numbers have `DIGITS` significant digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import model_validator

from foldstep.service.contract.space import Frozen

DIGITS = 4
OF_NETWORK, OF_LAYER = 6, 5
"""Length of a probe's list: `OF_NETWORK` numbers of the network, then `OF_LAYER` for each hidden layer."""


def rounded(value: float) -> float | None:
    """Round a number to `DIGITS` significant digits; None where it is not finite."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


class LayerReading(Frozen):
    """One layer at a probe; None where a number does not exist for its activation, or is not finite.

    Attributes:
        update_ratio: norm of the last step's change of the weights, over the norm of the weights before it. About
            1e-3 is healthy (Karpathy and Johnson, notes of CS231n, "Ratio of weights:updates").
        mean: mean of the activations, over units and rows.
        spread: standard deviation of the activations, over units and rows.
        saturated: share of activations where the function's slope is under a twentieth of its greatest; tanh,
            sigmoid, elu, and relu6 at 6.
        dead: share of units that are zero for every probed row; relu and relu6.
    """

    update_ratio: float | None
    mean: float | None
    spread: float | None
    saturated: float | None
    dead: float | None


class Reading(Frozen):
    """The diagnostics of a fold at one probe, the end of an epoch.

    Attributes:
        gradient_norm: norm of the gradient of all parameters at the last step, before clipping and penalties.
        train_loss: loss on some training rows, without dropout.
        train_score: the metric on these rows.
        chance_loss: loss on these rows of the best constant prediction: class shares, or the mean.
        layers: the hidden layers in order, then the output layer, which has an update ratio only.
    """

    epoch: int
    gradient_norm: float | None
    train_loss: float | None
    train_score: float | None
    chance_loss: float | None
    layers: list[LayerReading]

    @classmethod
    def of(cls, numbers: Sequence[float | None]) -> Reading:
        """Parse a flat list: epoch, four numbers of the network, the output layer's update ratio, five a hidden layer.

        The order within each part is that of the attributes.
        """
        epoch, gradient_norm, train_loss, train_score, chance_loss, output = numbers[:OF_NETWORK]
        hidden = [numbers[i : i + OF_LAYER] for i in range(OF_NETWORK, len(numbers), OF_LAYER)]
        layers = [*hidden, (output, None, None, None, None)]
        return cls(
            epoch=int(epoch or 0),
            gradient_norm=gradient_norm,
            train_loss=train_loss,
            train_score=train_score,
            chance_loss=chance_loss,
            layers=[LayerReading(update_ratio=u, mean=m, spread=s, saturated=f, dead=d) for u, m, s, f, d in layers],
        )


class Diagnostics(Frozen):
    """The diagnostics of one fold.

    Attributes:
        valid_loss: the loss that training minimises, on the validation part after each epoch, without label
            smoothing; None where it was not finite, or was not computed.
        probes: the readings, each a flat list; see `Reading.of`.
    """

    valid_loss: list[float | None]
    probes: list[list[float | None]]

    @model_validator(mode="after")
    def _has_whole_probes(self) -> Diagnostics:
        for numbers in self.probes:
            if len(numbers) < OF_NETWORK or (len(numbers) - OF_NETWORK) % OF_LAYER or numbers[0] is None:
                raise ValueError(f"expected an epoch, five numbers and five for each layer, however: {numbers}")
        if len({len(numbers) for numbers in self.probes}) > 1:
            raise ValueError("expected probes of one network, however: their lengths differ")
        return self

    @property
    def readings(self) -> list[Reading]:
        """The probes as records."""
        return [Reading.of(numbers) for numbers in self.probes]

    def flat(self) -> list[float | None]:
        """Convert to one flat list, which `from_flat` reads."""
        n_epochs, n_probes = float(len(self.valid_loss)), float(len(self.probes))
        return [n_epochs, n_probes, *self.valid_loss, *(value for numbers in self.probes for value in numbers)]

    @classmethod
    def from_flat(cls, stored: Sequence[float | None]) -> Diagnostics:
        """Rebuild the diagnostics from the list of `flat`, also where its numbers were stored in single precision."""
        numbers = [None if value is None else rounded(value) for value in stored]
        n_epochs, n_probes = (int(value or 0) for value in stored[:2])
        probed = numbers[2 + n_epochs :]
        length = len(probed) // max(n_probes, 1)
        probes = [probed[i * length : (i + 1) * length] for i in range(n_probes)]
        for i, numbers_of_probe in enumerate(probes):  # an epoch is not rounded
            numbers_of_probe[0] = stored[2 + n_epochs + i * length]
        return cls(valid_loss=numbers[2 : 2 + n_epochs], probes=probes)
