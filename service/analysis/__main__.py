"""The child process behind `service.analysis.child`."""

from __future__ import annotations

from typing import Any

from foldstep.service.analysis.ensemble import Chosen, EnsembleRequest, ensemble
from foldstep.service.child import answer_once, limit_memory_and_time
from foldstep.service.contract.insight import ImportanceReport
from foldstep.service.contract.space import Space
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.contract.trial import TrialRecord


def perform(request: dict[str, Any]) -> ImportanceReport | Chosen:
    """Compute the requested report, or choose the requested ensemble."""
    return _ensemble(request["ensemble"]) if "ensemble" in request else _report(request)


def _ensemble(request: dict[str, Any]) -> Chosen:
    limit_memory_and_time()
    return Chosen(ensemble=ensemble(EnsembleRequest.model_validate(request)))


def _report(request: dict[str, Any]) -> ImportanceReport:
    # brings scikit-learn, which an ensemble need not wait for; before the limits, which are beyond what libraries take
    from foldstep.service.analysis.report import importance_report

    limit_memory_and_time()
    return importance_report(
        request["search"],
        MetricSpec.model_validate(request["metric"]),
        request["stage"],
        Space.model_validate(request["space"]),
        [TrialRecord.model_validate(record) for record in request["records"]],
        adaptive=request["adaptive"],
    )


if __name__ == "__main__":
    answer_once(perform)
