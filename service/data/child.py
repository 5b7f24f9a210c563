"""Read data, and resolve specs against it, in a child process.

So a huge or malicious file cannot harm the master, which imports neither pyarrow nor scikit-learn. The child is
`service/data/__main__.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foldstep.service.child import NO_LIMITS, ChildDied, ChildNeedsMemory, ChildTooSlow, Limits, ask
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
    limits: Limits = NO_LIMITS,
) -> DatasetDescription:
    """Call `ingest.ingest` in a child process.

    Raises:
        DatasetUnreadable: as `ingest` does; or the child died (`reader_died`), took too long (`too_slow`) or too much
            memory (`needs_memory`).
    """
    request = {
        "operation": "ingest",
        "source": str(source),
        "into": str(into),
        "shown_as": shown_as,
        "options": options.model_dump(mode="json"),
    }
    return DatasetDescription.model_validate(_ask(request, timeout_s, limits))


def resolve_in_child(
    spec: Spec,
    description: DatasetDescription,
    canonical_file: Path,
    *,
    timeout_s: float = TIMEOUT_S,
    limits: Limits = NO_LIMITS,
) -> ResolvedProblem:
    """Call `resolve.resolve_problem` in a child process.

    Raises:
        SpecInvalid: the spec does not fit the data; every fault is named.
        DatasetUnreadable: the child died (`reader_died`), took too long (`too_slow`) or too much memory
            (`needs_memory`).
    """
    request = {
        "operation": "resolve",
        "spec": spec.model_dump_json(),
        "description": description.model_dump_json(),
        "canonical_file": str(canonical_file),
    }
    return ResolvedProblem.model_validate(_ask(request, timeout_s, limits))


def report_in_child(
    description: DatasetDescription,
    canonical_file: Path,
    targets: Sequence[str],
    *,
    timeout_s: float = TIMEOUT_S,
    limits: Limits = NO_LIMITS,
) -> DataReport:
    """Call `target_report.report` in a child process.

    Raises:
        NotFound: there is no such column.
        DatasetUnreadable: the child died (`reader_died`), took too long (`too_slow`) or too much memory
            (`needs_memory`).
    """
    request = {
        "operation": "report",
        "description": description.model_dump(mode="json"),
        "canonical_file": str(canonical_file),
        "targets": list(targets),
    }
    return DataReport.model_validate(_ask(request, timeout_s, limits))


def _ask(request: dict[str, Any], timeout_s: float, limits: Limits) -> Any:
    try:
        return ask("foldstep.service.data", request, timeout_s, limits)
    except ChildTooSlow:
        within = f"{timeout_s:g} s" if limits.cpu_s is None else f"{timeout_s:g} s, {limits.cpu_s:,} on the processor"
        hint = "try a smaller one, or raise FOLDSTEP_READER_CPU_S of the master"
        raise refusal("too_slow", expected=f"a file that is read within {within}", got=None, hint=hint) from None
    except ChildNeedsMemory:
        memory = "memory" if limits.memory_bytes is None else f"{limits.memory_bytes >> 20:,} MiB of memory"
        hint = "try a smaller one, or raise FOLDSTEP_READER_MEMORY_BYTES of the master"
        raise refusal(
            "needs_memory", expected=f"a file that is read within {memory}", got="one that takes more", hint=hint
        ) from None
    except ChildDied as died:
        expected, got = "a file that fits into memory", f"a reader that ended early ({died})"
        raise refusal("reader_died", expected=expected, got=got, hint="try a smaller one") from None
