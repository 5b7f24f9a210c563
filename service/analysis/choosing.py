"""The child process behind `service.analysis.child.ensemble_in_child`: it starts without scikit-learn."""

from __future__ import annotations

from typing import Any

from foldstep.service.analysis.ensemble import Chosen, EnsembleRequest, ensemble
from foldstep.service.child import answer_once, limit_memory_and_time


def perform(request: dict[str, Any]) -> Chosen:
    """Choose the requested ensemble."""
    limit_memory_and_time()
    return Chosen(ensemble=ensemble(EnsembleRequest.model_validate(request)))


if __name__ == "__main__":
    answer_once(perform)
