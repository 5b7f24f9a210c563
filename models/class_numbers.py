"""What the loss of one member reads of its classes, beside their targets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class ClassNumbers(NamedTuple):
    """The numbers of the classes of one member.

    Attributes:
        weights: of the classes in the loss, (classes,); None for equal weights.
        spread: share of each class in what label smoothing spreads, (classes,); None for equal shares.
    """

    weights: npt.NDArray[np.float64] | None = None
    spread: npt.NDArray[np.float64] | None = None
