"""The report on which hyperparameters matter in a search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from foldstep.models.catalog.metrics import Direction
from foldstep.service.analysis.advice import insight
from foldstep.service.analysis.importance import Anova, anova
from foldstep.service.analysis.judgement import FEWEST_TRIALS, judge_values
from foldstep.service.analysis.region import best_region
from foldstep.service.analysis.table import table_of
from foldstep.service.contract.insight import ImportanceReport, ParameterInsight
from foldstep.service.contract.space import FloatRange, IntRange, Space
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.evidence import Evidence

POOR_FIT = 0.2
LEAST_INTERACTION = 0.02
SMALL_SHARE = 0.05
"""A share of the variance that a hyperparameter which is said to differ has only because few trials have a value."""


def importance_report(
    search: str,
    metric: MetricSpec,
    stage: int,
    space: Space,
    records: Sequence[TrialRecord],
    *,
    adaptive: bool = True,
) -> ImportanceReport:
    """Report which hyperparameters matter, from the trials of one stage.

    Args:
        search: id of the search.
        metric: the metric of its scores.
        stage: number of the stage, from 0.
        space: the stage's space.
        records: the stage's trials.
        adaptive: whether the search's method learns from results.
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
    rows = [_row(name, found, space, records, metric.direction, adaptive=adaptive) for name in table.names]
    return nothing.model_copy(
        update={
            "fit": found.fit,
            "parameters": sorted(rows, key=lambda row: -row.importance),
            "interactions": [pair for pair in found.interactions if pair.importance >= LEAST_INTERACTION],
            "notes": _notes(found.fit, rows),
        }
    )


def _notes(fit: float, rows: Sequence[ParameterInsight]) -> list[str]:
    rare = [row.parameter for row in rows if row.verdict == "differs" and row.importance < SMALL_SHARE]
    notes = [_POOR_FIT] if fit < POOR_FIT else []
    return [*notes, f"{_RARE} {' and '.join(rare)}."] if rare else notes


def _row(
    name: str, found: Anova, space: Space, records: Sequence[TrialRecord], direction: Direction, *, adaptive: bool
) -> ParameterInsight:
    judged = judge_values(space, name, records, direction, adaptive=adaptive)
    evidence = Evidence(tuple(trial for trial in Evidence.of(records).trials if name in trial.params))
    losses, distribution = np.array(evidence.losses(direction)), space.parameters[name]
    region = None
    if judged.verdict == "differs" and isinstance(distribution, FloatRange | IntRange):
        region = best_region(name, distribution, evidence.trials, losses)
    return insight(name, found.importance[name], found.effects[name], judged, region, evidence.trials, direction)


_POOR_FIT = (
    "The scores of trials cannot be told from their hyperparameters here, by noise or for want of trials: take what "
    "follows with a grain of salt."
)
_RARE = "A share of variance is one of the trials that were made: it is small where few have a poor value, as of"
