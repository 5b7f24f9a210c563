"""The record of a search's winner: which trials cannot be told from it, and which of them is the simplest."""

from __future__ import annotations

from pydantic import Field

from foldstep.service.contract.space import Frozen


class Winner(Frozen):
    """How sure it is that the best trial of a search is the best one (`GET /searches/{id}/winner`).

    Attributes:
        trial: the first of the ranking.
        score: its mean over the folds.
        standard_error: of that mean; None for one fold.
        n_compared: other trials that were compared with it: the best ones with a score in each fold.
        rivals: those that cannot be told from it, the best first.
        simplest: the trial with the fewest parameters among those within one standard error of its score; None where
            no size or no standard error is known.
        simplest_parameters: the number of its parameters.
        sentences: the same in words.
    """

    trial: int
    score: float
    standard_error: float | None
    n_compared: int
    rivals: list[int]
    simplest: int | None
    simplest_parameters: int | None
    sentences: list[str] = Field(default_factory=list)


class ComparedTrial(Frozen):
    """A trial as it is compared: its scores by fold and the number of its parameters."""

    trial: int
    folds: list[float]
    n_parameters: int | None
