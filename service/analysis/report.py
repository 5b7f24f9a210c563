"""The report on which hyperparameters matter in a search."""

from __future__ import annotations

from collections.abc import Sequence

from foldstep.service.analysis.advice import insight
from foldstep.service.analysis.importance import FEWEST_TRIALS, anova
from foldstep.service.analysis.table import table_of
from foldstep.service.contract.insight import ImportanceReport
from foldstep.service.contract.space import Space
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.evidence import Evidence

POOR_FIT = 0.2
LEAST_INTERACTION = 0.02


def importance_report(
    search: str, metric: MetricSpec, stage: int, space: Space, records: Sequence[TrialRecord]
) -> ImportanceReport:
    """Report which hyperparameters matter, from the trials of one stage.

    Args:
        search: id of the search.
        metric: the metric of its scores.
        stage: number of the stage, from 0.
        space: the stage's space.
        records: the stage's trials.
    """
    table = table_of(space, Evidence.of(records), metric.direction)
    n_trials = len(table.losses)
    nothing = ImportanceReport(
        search=search, metric=metric, stage=stage, trials=n_trials, fit=None, parameters=[], interactions=[], notes=[]
    )
    if not table.names:
        return nothing.model_copy(update={"notes": ["Nothing was searched: every hyperparameter has one value."]})
    if n_trials < FEWEST_TRIALS:
        note = f"{n_trials} finished trials are too few to tell what matters; it takes {FEWEST_TRIALS}."
        return nothing.model_copy(update={"notes": [note]})
    found = anova(table)
    rows = [
        insight(name, space.parameters[name], found.importance[name], found.effects[name], metric.direction)
        for name in table.names
    ]
    return nothing.model_copy(
        update={
            "fit": found.fit,
            "parameters": sorted(rows, key=lambda row: -row.importance),
            "interactions": [pair for pair in found.interactions if pair.importance >= LEAST_INTERACTION],
            "notes": [_POOR_FIT] if found.fit < POOR_FIT else [],
        }
    )


_POOR_FIT = (
    "The scores of trials cannot be told from their hyperparameters here, by noise or for want of trials: take what "
    "follows with a grain of salt."
)
