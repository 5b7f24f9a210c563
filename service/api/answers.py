"""What a search answers with: its winner, ensemble, final model and features, and predictions of its networks."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from foldstep.service.api.deps import Body, InContext, SearchId, heavily, in_turn
from foldstep.service.api.examples import ROWS_BODY
from foldstep.service.api.problems import responses
from foldstep.service.api.strict import StrictRoute
from foldstep.service.api.trials import Number
from foldstep.service.contract.ensemble import Ensemble, TrialPredictions
from foldstep.service.contract.feature_report import FeatureReport
from foldstep.service.contract.final import Final, FinalModel
from foldstep.service.contract.prediction import Predicted, PredictionOptions
from foldstep.service.contract.winner import Winner
from foldstep.service.flow import ensemble, features, finalize, predict, winner

router = APIRouter(tags=["answers"], route_class=StrictRoute)


@router.get("/searches/{search_id}/ensemble", responses=responses(404, 409, 503))
async def get_ensemble(search_id: SearchId, context: InContext) -> Ensemble | None:
    """Get the trials that predict together, chosen on out-of-fold predictions; null before the first score."""
    return await heavily(ensemble.ensemble, context, search_id)


@router.get("/searches/{search_id}/winner", responses=responses(404, 409))
def get_winner(search_id: SearchId, context: InContext) -> Winner | None:
    """Tell which trials cannot be told from the best one, and which is the simplest; null before the first score."""
    return winner.of_search(context, search_id)


@router.post("/searches/{search_id}:finalize", responses=responses(404, 409, 503))
async def finalize_search(search_id: SearchId, context: InContext) -> FinalModel:
    """Make the final model of a search that is over, and score it once on the test part; again, the same answer."""
    return await heavily(finalize.finalize, context, search_id)


@router.get("/searches/{search_id}/final", responses=responses(404, 409))
async def get_final(search_id: SearchId, context: InContext) -> Final:
    """Get the final model with its score on the test part, and whether a test part still waits for one."""
    return await heavily(finalize.final, context, search_id)


@router.get(
    "/searches/{search_id}/trials/{number}/predictions",
    response_model=TrialPredictions,
    responses=responses(404, 409, 422),
)
async def get_predictions(search_id: SearchId, number: Number, context: InContext) -> Response:
    """Get the out-of-fold predictions of one trial: what its networks say of rows that they were not trained on."""
    found = await heavily(ensemble.predictions, context, search_id, number)
    return Response(found.model_dump_json(), media_type="application/json")  # FastAPI would check each number again


@router.post(
    "/searches/{search_id}/predict",
    response_model=Predicted,
    openapi_extra=ROWS_BODY,
    responses=responses(404, 409, 413, 422, 503),
)
async def post_predict(
    search_id: SearchId,
    context: InContext,
    body: Body,
    options: Annotated[PredictionOptions, Query()],
    content_type: Annotated[str, Header()] = "",
) -> Response:
    """Predict rows by the ensemble of a search, or by one trial; nothing is stored."""
    found = await in_turn(predict.predict, context, search_id, body, content_type, options)
    return Response(found.model_dump_json(), media_type="application/json")  # FastAPI would check each cell again


@router.get("/searches/{search_id}/features", responses=responses(404, 409, 422, 503))
async def get_features(search_id: SearchId, context: InContext) -> FeatureReport:
    """Tell which columns matter to the networks that a search predicts with, and what they make of them."""
    return await heavily(features.features, context, search_id)
