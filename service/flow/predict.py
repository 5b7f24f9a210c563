"""Use case: predict rows that a client sends, with the networks of a search."""

from __future__ import annotations

from pathlib import Path

from foldstep.service.analysis.networks import predict_in_child
from foldstep.service.child import locked_folder
from foldstep.service.contract.errors import Fault, InvalidInput
from foldstep.service.contract.prediction import Predicted, PredictionOptions, PredictionRequest
from foldstep.service.data.allowance import limits_to_compute
from foldstep.service.flow.context import Context
from foldstep.service.flow.networks import chosen_files

JSON = "application/json"
TABLES = ("text/csv", "application/vnd.apache.parquet")


def predict(
    context: Context, search_id: str, content: bytes, content_type: str, options: PredictionOptions
) -> Predicted:
    """Predict rows with the search's ensemble, or with one trial.

    Args:
        context: of the master.
        search_id: the search.
        content: the rows.
        content_type: `JSON`, where it is empty too, or one of `TABLES`.
        options: what is predicted, and by which networks.

    Raises:
        NotFound: there is no such search or trial.
        InvalidInput: the rows, or what is asked of them, cannot be used; or there are no networks.
        TooLarge: there are more rows than the master predicts at once.
        Unavailable: it could not be computed.
    """
    is_json = _is_json(content_type)
    chosen = chosen_files(context, search_id, options.trial)
    with locked_folder() as folder:  # the child reads them, so that the master never holds a table
        file = Path(folder) / ("rows.json" if is_json else "rows.csv")
        file.write_bytes(content)
        asked = PredictionRequest(
            chosen=chosen,
            file=file,
            is_json=is_json,
            options=options,
            most_rows=context.settings.max_predict_rows,
        )
        return predict_in_child(context.answering, asked, limits_to_compute(context.settings))


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    if kind in TABLES:
        return False
    if kind in ("", JSON):
        return True
    fault = Fault(code="unsupported_content", path="Content-Type", expected=f"{JSON} or {' or '.join(TABLES)}",
                  got=kind)  # fmt: skip
    raise InvalidInput(f"The rows cannot be read: {fault}.", faults=[fault])
