"""Use case: tell which columns matter to the networks that a search predicts with."""

from __future__ import annotations

from foldstep.service.analysis.networks import features_in_child
from foldstep.service.contract.errors import Conflict
from foldstep.service.contract.feature_report import FeatureReport, FeatureRequest
from foldstep.service.contract.prediction import ChosenFiles
from foldstep.service.data.allowance import limits_to_compute
from foldstep.service.db import searches
from foldstep.service.db.searches import SearchRow
from foldstep.service.flow.context import Context
from foldstep.service.flow.networks import chosen_files
from foldstep.service.flow.transfer import canonical_file


def features(context: Context, search_id: str) -> FeatureReport:
    """Report on the features, for the networks of the search's ensemble: those of the folds, also after a refit.

    While a search goes on the answer may be some seconds old.

    Raises:
        NotFound: there is no such search.
        InvalidInput: there are no networks.
        Conflict: the search's data are gone.
        Unavailable: it could not be computed.
    """
    with context.database.read() as connection:
        search = searches.get(connection, search_id)
    chosen = chosen_files(context, search_id, of_folds=True)  # each row is predicted by networks that do not know it
    return context.answers.get(
        (search_id, "features"), chosen.model_dump_json(), lambda: _report(context, search, chosen),
        may_be_older=not search.is_over,
    )  # fmt: skip


def _report(context: Context, search: SearchRow, chosen: ChosenFiles) -> FeatureReport:
    table = canonical_file(context, search.problem.fingerprint).absolute()
    if not table.is_file():
        raise Conflict(
            f"The data of {search.id} are not on this master, as after a recovery from checkpoints, and features are "
            "looked at on its validation rows. Submit the search again, with its data."
        )
    asked = FeatureRequest(chosen=chosen, table=table, problem=search.problem)
    return features_in_child(context.answering, asked, limits_to_compute(context.settings))
