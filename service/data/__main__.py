"""The child process behind `service.data.child`: one JSON request on standard input, one answer on output."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from service.contract.dataset import DatasetDescription
from service.contract.errors import FoldstepError
from service.contract.spec import Spec
from service.data.check import check_spec
from service.data.ingest import ingest


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The result of a request, or the problem document of the refusal it met."""
    try:
        return {"result": _perform(request).model_dump(mode="json")}
    except FoldstepError as error:
        return {"problem": error.problem()}


def _perform(request: dict[str, Any]) -> BaseModel:
    if request["operation"] == "ingest":
        return ingest(request["source"], into=Path(request["into"]), shown_as=request["shown_as"])
    return check_spec(
        Spec.model_validate_json(request["spec"]),
        DatasetDescription.model_validate_json(request["description"]),
        Path(request["canonical_file"]),
    )


if __name__ == "__main__":
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
