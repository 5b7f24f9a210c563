"""Asks the child process that works with networks, since the master has neither their preprocessing nor the memory.

Which module the child is, the master is told by whoever starts it: this package may not name one that stands above it.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from foldstep.service.analysis.child import answer
from foldstep.service.child import Limits
from foldstep.service.contract.errors import Unavailable
from foldstep.service.contract.feature_report import FeatureReport, FeatureRequest
from foldstep.service.contract.prediction import Predicted, PredictionRequest


def predict_in_child(module: str, asked: PredictionRequest, limits: Limits) -> Predicted:
    """Predict rows in the child that is kept for it, where the networks of the last requests are in memory.

    Raises:
        InvalidInput: the rows cannot be predicted.
        Unavailable: the child died, or took too long or too much memory.
    """
    request = _request(module, "predict", asked)
    return Predicted.model_validate(answer(module, request, limits, what="prediction", is_kept=True))


def features_in_child(module: str, asked: FeatureRequest, limits: Limits) -> FeatureReport:
    """Report on features, in a child of its own: it takes seconds, for which no prediction shall wait.

    Raises:
        InvalidInput: a checkpoint is damaged, or gone.
        Unavailable: the child died, or took too long or too much memory.
    """
    return FeatureReport.model_validate(answer(module, _request(module, "features", asked), limits))


def _request(module: str, operation: str, asked: BaseModel) -> dict[str, Any]:
    if not module:
        raise Unavailable("This master was started without the part that works with networks: start `foldstep serve`.")
    return {"operation": operation, "asked": asked.model_dump(mode="json")}
