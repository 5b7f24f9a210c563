"""The child process behind `service.analysis.child`."""

from __future__ import annotations

from typing import Any

from foldstep.service.analysis.report import importance_report
from foldstep.service.child import answer_once, limit_memory_and_time
from foldstep.service.contract.insight import ImportanceReport
from foldstep.service.contract.space import Space
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.contract.trial import TrialRecord


def perform(request: dict[str, Any]) -> ImportanceReport:
    """Compute the requested report."""
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
