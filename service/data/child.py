"""Read data, and resolve specs against it, in a child process.

So a huge or malicious file cannot harm the master, which imports neither pyarrow nor scikit-learn. The child is
`service/data/__main__.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foldstep.service.child import ChildDied, ChildTooSlow, ask
from foldstep.service.contract.dataset import DataReport, DatasetDescription
from foldstep.service.contract.problem import ResolvedProblem
from foldstep.service.contract.reading import AS_FOUND, ReadingOptions
from foldstep.service.contract.spec import Spec
from foldstep.service.data.sources import refusal

TIMEOUT_S = 900.0


def ingest_in_child(
    source: str | Path,
    *,
    into: Path,
    shown_as: str | None = None,
    options: ReadingOptions = AS_FOUND,
    timeout_s: float = TIMEOUT_S,
) -> DatasetDescription:
    """Call `ingest.ingest` in a child process.

    Raises:
        DatasetUnreadable: as `ingest` does; or the child died (`reader_died`) or took too long (`too_slow`).
    """
    request = {
        "operation": "ingest",
        "source": str(source),
        "into": str(into),
        "shown_as": shown_as,
        "options": options.model_dump(mode="json"),
    }
    return DatasetDescription.model_validate(_ask(request, timeout_s))


def resolve_in_child(
    spec: Spec, description: DatasetDescription, canonical_file: Path, *, timeout_s: float = TIMEOUT_S
) -> ResolvedProblem:
    """Call `resolve.resolve_problem` in a child process.

    Raises:
        SpecInvalid: the spec does not fit the data; every fault is named.
        DatasetUnreadable: the child died (`reader_died`) or took too long (`too_slow`).
    """
    request = {
        "operation": "resolve",
        "spec": spec.model_dump_json(),
        "description": description.model_dump_json(),
        "canonical_file": str(canonical_file),
    }
    return ResolvedProblem.model_validate(_ask(request, timeout_s))


def report_in_child(
    description: DatasetDescription, canonical_file: Path, target: str | None, *, timeout_s: float = TIMEOUT_S
) -> DataReport:
    """Call `target_report.report` in a child process.

    Raises:
        NotFound: there is no such column.
        DatasetUnreadable: the child died (`reader_died`) or took too long (`too_slow`).
    """
    request = {
        "operation": "report",
        "description": description.model_dump(mode="json"),
        "canonical_file": str(canonical_file),
        "target": target,
    }
    return DataReport.model_validate(_ask(request, timeout_s))


def _ask(request: dict[str, Any], timeout_s: float) -> Any:
    try:
        return ask("foldstep.service.data", request, timeout_s)
    except ChildTooSlow:
        raise refusal("too_slow", expected=f"a file that is read within {timeout_s:g} s", got=None) from None
    except ChildDied as died:
        expected, got = "a file that fits into memory", f"a reader that ended early ({died})"
        raise refusal("reader_died", expected=expected, got=got, hint="try a smaller one") from None
