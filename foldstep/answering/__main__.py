"""The child process behind `service.analysis.networks`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from foldstep.service.child import answer_once, limit_memory_and_time
from foldstep.service.contract.feature_report import FeatureRequest
from foldstep.service.contract.prediction import PredictionRequest


def perform(request: dict[str, Any]) -> BaseModel:
    """Perform a request: predict rows, or report on the features of a search."""
    # imported here, for it takes a second in which a child must see already that its parent has ended
    if request["operation"] == "predict":
        from foldstep.answering.predict import predict

        limit_memory_and_time()
        return predict(PredictionRequest.model_validate(request["asked"]))
    if request["operation"] == "features":
        from foldstep.answering.features import features

        limit_memory_and_time()
        return features(FeatureRequest.model_validate(request["asked"]))
    raise ValueError(f"expected predict or features, however: {request['operation']}")


if __name__ == "__main__":
    answer_once(perform)
