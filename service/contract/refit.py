"""The refit of a search (`final.refit`): how its rows are split, and which trials it trains again."""

from __future__ import annotations

from pydantic import Field

from foldstep.service.contract.final_spec import RefitSpec
from foldstep.service.contract.space import Frozen
from foldstep.service.contract.spec import CvSpec

INNER_SHARE = 0.1
"""Share of the rows that choose the epoch of a refitted network; never more than a fold holds out."""


class Refitted(Frozen):
    """What a search trains that refits another one.

    Attributes:
        trials: the number of each trial of the other search to that of its trial here.
        share: of the rows that each network is trained on; the others choose its epoch.
    """

    trials: dict[int, int] = Field(default_factory=dict)
    share: float = Field(gt=0, lt=1)


def refit_cv(cv: CvSpec, refit: RefitSpec) -> CvSpec:
    """Split the rows for a refit: each network leaves out an inner part of its own, in time order the last rows.

    Args:
        cv: how the search splits them; folds or a holdout.
        refit: how many networks there are of each trial.
    """
    held_out = cv.holdout if cv.holdout is not None else 1 / (cv.folds or 1)
    changes = {"folds": None, "holdout": min(INNER_SHARE, held_out), "repeats": refit.seeds, "outer": None}
    return cv.model_copy(update=changes)
