"""What the kinds of ensembles train whose members are not chosen among the trials of a search.

Each is made of the best trial's configuration. Other seeds: networks from other starts find other minima
(Lakshminarayanan, Pritzel and Blundell 2017). Checkpoints of one run: the rate falls and is raised again in cycles, and
a network of each is kept (Huang et al. 2017). A running average: the mean of the weights at the ends of the last epochs
(Izmailov et al. 2018), which is one network.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from foldstep.models.catalog.kinds import Value
from foldstep.service.contract.final_spec import FinalSpec
from foldstep.service.contract.space import Params
from foldstep.service.contract.spec import StageSpec

AVERAGED_FROM = 0.75
"""Share of the epochs after which the weights are averaged, as in Izmailov et al. (2018)."""


class Trained(NamedTuple):
    """What a search trains for an ensemble.

    Attributes:
        configurations: of its trials; of stages, the one configuration of all of them.
        stages: one for each checkpoint, each of which continues the one before; none for other kinds.
    """

    configurations: list[Params]
    stages: list[StageSpec]


def trained(final: FinalSpec, best: Params, epochs: int, seed: int) -> Trained | None:
    """List what the members of an ensemble are trained as; None where there is nothing to train.

    Args:
        final: with the kind of the ensemble.
        best: configuration of the best trial.
        epochs: of the best trial.
        seed: of the search.
    """
    if final.ensemble == "seeds":
        others = unused(seed, {best.get("seed", seed)}, final.most_members - 1)
        return Trained([{**best, "seed": other} for other in others], [])
    if final.ensemble == "checkpoints":
        return _in_cycles(best, epochs, final.most_members)
    if has_average(best):
        return None
    return Trained([{**best, "swa_start": AVERAGED_FROM, "patience": 0}], [])


def has_average(params: Params) -> bool:
    """Tell whether the networks of a configuration are running averages already."""
    return bool(params.get("ema_decay") or params.get("swa_start"))


def _in_cycles(best: Params, epochs: int, n: int) -> Trained:
    cycle = max(1, epochs // n)
    course: Params = {"schedule": "cosine_restarts", "cycle_epochs": cycle, "cycle_growth": 1, "warmup_epochs": 0}
    whole: Params = {
        "patience": 0,
        "swa_start": 0.0,
    }  # a cycle is trained to its end, and no average reaches across cycles
    params: Params = {**{name: value for name, value in best.items() if name != "epochs"}, **course, **whole}
    stages = [StageSpec(epochs=cycle * (i + 1), trials=1, **({"continue": True} if i else {})) for i in range(n)]
    return Trained([params], stages)


def unused(seed: int, used: Collection[Value], n: int) -> list[int]:
    """List the next seeds after one that were not used."""
    found: list[int] = []
    while len(found) < n:
        seed = (seed + 1) % 2**63
        if seed not in used:
            found.append(seed)
    return found
