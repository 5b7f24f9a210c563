"""The kinds of hidden units: what a unit makes of one or two linear maps of its layer's inputs.

With two linear maps z and w of the inputs x, the normalisation n and the activation f:

- plain: f(n(z))
- glu: f(n(z)) * w, a gated unit: with sigmoid the gated linear unit of Dauphin et al. (2017, arXiv 1612.08083), with
  silu SwiGLU, with gelu GEGLU, with relu ReGLU (Shazeer 2020, arXiv 2002.05202)
- maxout: n(max(z, w)), without an activation: two pieces of Goodfellow et al. (2013, arXiv 1302.4389)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from foldstep.models.catalog.backends import EVERY_BACKEND, NOT_FUSED, Backend


@dataclass(frozen=True)
class Units:
    """One kind of hidden units.

    Attributes:
        has_second: whether a layer has a second linear map.
        is_activated: whether the activation is applied, to the first linear map alone.
        backends: the backends that implement it.
    """

    has_second: bool = True
    is_activated: bool = True
    backends: frozenset[Backend] = NOT_FUSED


UNITS: Mapping[str, Units] = {
    "plain": Units(has_second=False, backends=EVERY_BACKEND),
    "glu": Units(),
    "maxout": Units(is_activated=False),
}
"""By the value of the hyperparameter `units`, in the order of the documentation."""
