"""Estimate how long a trial trains, before any trial of a search has told."""

from __future__ import annotations

from foldstep.models.hyperparameters import Hyperparameters
from foldstep.service.contract.problem import LearningProblem

FLOPS_PER_S = 2e10
"""Operations a second of one core with packs of some networks, as measured on a slow one; a GPU has far more."""
_FLOPS_OF_A_WEIGHT = 6
"""Operations for each weight and row: two forward, four backward (Kaplan et al. 2020, section 2.1)."""


def training_seconds(hp: Hyperparameters, problem: LearningProblem) -> float | None:
    """Estimate the seconds in which one core trains all folds of a trial; None where the data's size is not known.

    Args:
        hp: of the trial; embeddings do not count.
        problem: of its search.
    """
    if problem.n_rows is None or problem.n_inputs is None or problem.n_outputs is None:
        return None
    rows = problem.n_rows * problem.n_folds * _training_share(problem)
    weights = hp.n_parameters(problem.n_inputs, problem.n_outputs)
    return _FLOPS_OF_A_WEIGHT * weights * rows * hp.epochs / FLOPS_PER_S


def _training_share(problem: LearningProblem) -> float:
    """Compute the share of the rows that a fold trains on; a test part counts with them."""
    if problem.cv.holdout is not None:
        return 1 - problem.cv.holdout
    return 1 - 1 / (problem.cv.folds or problem.n_folds)
