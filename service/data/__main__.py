"""The child process behind `service.data.child`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from foldstep.service.child import answer_once, limit_memory_and_time
from foldstep.service.contract.dataset import DatasetDescription
from foldstep.service.contract.reading import ReadingOptions
from foldstep.service.contract.spec import Spec


def perform(request: dict[str, Any]) -> BaseModel:
    """Perform a request: ingest a data set, report on one, or resolve a spec against one."""
    # imported here, for it takes a second in which a child must see already that its parent has ended
    from foldstep.service.data.ingest import ingest
    from foldstep.service.data.resolve import resolve_problem
    from foldstep.service.data.target_report import report

    limit_memory_and_time()
    if request["operation"] == "ingest":
        options = ReadingOptions.model_validate(request["options"])
        return ingest(request["source"], into=Path(request["into"]), shown_as=request["shown_as"], options=options)
    if request["operation"] == "resolve":
        return resolve_problem(
            Spec.model_validate_json(request["spec"]),
            DatasetDescription.model_validate_json(request["description"]),
            Path(request["canonical_file"]),
        )
    if request["operation"] == "report":
        return report(
            DatasetDescription.model_validate(request["description"]),
            Path(request["canonical_file"]),
            request["targets"],
        )
    raise ValueError(f"expected ingest, report or resolve, however: {request['operation']}")


if __name__ == "__main__":
    answer_once(perform)
