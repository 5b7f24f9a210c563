"""Runs the analysis in a child process, so that the master does not import scikit-learn or hold predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foldstep.service.analysis.ensemble import Chosen, EnsembleRequest
from foldstep.service.analysis.final_score import Answer, FinalScored, FinalScoreRequest
from foldstep.service.child import NO_LIMITS, ChildDied, ChildNeedsMemory, ChildTooSlow, Limits, ask
from foldstep.service.contract.ensemble import Ensemble
from foldstep.service.contract.errors import Unavailable
from foldstep.service.contract.insight import ImportanceReport
from foldstep.service.contract.space import Space
from foldstep.service.contract.spec import MetricSpec
from foldstep.service.contract.trial import TrialRecord

TIMEOUT_S = 300.0


def report_in_child(
    search: str,
    metric: MetricSpec,
    stage: int,
    space: Space,
    records: Sequence[TrialRecord],
    *,
    adaptive: bool = True,
    limits: Limits = NO_LIMITS,
) -> ImportanceReport:
    """Call `report.importance_report` in a child process.

    Raises:
        Unavailable: the child died, or took too long or too much memory.
    """
    request = {
        "search": search,
        "metric": metric.model_dump(mode="json"),
        "stage": stage,
        "space": space.model_dump(mode="json"),
        "adaptive": adaptive,
        "records": [record.model_dump(mode="json") for record in records],
    }
    return ImportanceReport.model_validate(answer("foldstep.service.analysis", request, limits))


def ensemble_in_child(request: EnsembleRequest, *, limits: Limits = NO_LIMITS) -> Ensemble | None:
    """Call `ensemble.ensemble` in a child process.

    Raises:
        Unavailable: the child died, or took too long or too much memory.
    """
    found = answer("foldstep.service.analysis.choosing", request.model_dump(mode="json"), limits)
    return Chosen.model_validate(found).ensemble


def final_score_in_child(request: FinalScoreRequest, *, limits: Limits = NO_LIMITS) -> FinalScored | None:
    """Call `final_score.final_score` in a child process.

    Raises:
        Unavailable: the child died, or took too long or too much memory.
    """
    found = answer("foldstep.service.analysis.final_score", request.model_dump(mode="json"), limits)
    return Answer.model_validate(found).scored


def answer(
    package: str, request: dict[str, Any], limits: Limits, *, what: str = "analysis", is_kept: bool = False
) -> Any:
    """Ask the child of a package.

    Args:
        package: its import name.
        request: JSON values.
        limits: what it may take.
        what: it does, in words.
        is_kept: see `ask`.

    Raises:
        Unavailable: it died, or took too long or too much memory.
    """
    try:
        return ask(package, request, TIMEOUT_S, limits, is_kept=is_kept)
    except ChildTooSlow:
        raise Unavailable(f"The {what} took longer than {TIMEOUT_S:g} s; try again on a quieter machine.") from None
    except ChildNeedsMemory:
        memory = "memory than there is" if limits.memory_bytes is None else f"than {limits.memory_bytes >> 20:,} MiB"
        raise Unavailable(f"The {what} takes more {memory}; raise FOLDSTEP_COMPUTE_MEMORY_BYTES of the master, or "
                          "give it more memory.") from None  # fmt: skip
    except ChildDied as died:
        raise Unavailable(f"The {what} ended early ({died}).") from None
