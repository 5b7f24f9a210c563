"""The requests of users other than a spec, and the master's answer to the validation of a spec."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field

from foldstep.service.contract.fields import Duration
from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.reading import AS_FOUND, ReadingOptions
from foldstep.service.contract.space import Frozen, Params

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
"""The names that a data set can have."""


class Validated(Frozen):
    """The answer for a spec that fits its data, with the values that were filled in.

    Attributes:
        trials: number of trials that the search will have; None for no limit.
        notes: notes for the user, one sentence each.
        spec: the spec as one would write it, with all that was filled in; a search of it has the same trials.
    """

    problem: LearningProblem
    trials: int | None
    notes: list[str]
    spec: dict[str, Any]


class Extension(Frozen):
    """The request to extend the budget of a search (`POST /searches/{id}:extend`).

    Attributes:
        trials: number of additional trials.
        time: additional time, as seconds or as 90s, 10m, 2h, for a search with a time budget.
    """

    trials: int | None = Field(default=None, ge=1, le=10_000_000)
    time: Duration | None = None


MOST_ENQUEUED = 1000
"""Configurations of one request."""


class Enqueue(Frozen):
    """The request to try configurations next (`POST /searches/{id}/trials`).

    Attributes:
        configurations: each a mapping of hyperparameters to values; what one leaves out has the only value that the
            search gives it, or else its default.
    """

    configurations: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_ENQUEUED)


class EnqueuedAs(Frozen):
    """The trial of a configuration that was enqueued.

    Attributes:
        params: the configuration with all that was filled in.
        is_new: whether it was enqueued now; else the search had it already.
    """

    trial: int
    params: Params
    is_new: bool


class EnqueueReply(Frozen):
    """The trials of the configurations that were sent, in their order.

    Attributes:
        notes: what to know of them, one sentence each.
    """

    search: str
    trials: list[EnqueuedAs]
    notes: list[str]


class DatasetSource(Frozen):
    """Where a data set is read from, and how (`POST /datasets/{name}:replace`).

    Attributes:
        source: path of a file that the master may read, or name of a bundled set; what the user calls the uploaded
            file where `file` names one.
        file: SHA-256 of an uploaded file (`PUT /files/{sha256}`); None for the two others.
        options: what the user says about how it is read.
    """

    source: str
    file: str | None = Field(default=None, json_schema_extra={"pattern": "^[0-9a-f]{64}$"})
    options: ReadingOptions = AS_FOUND


class DatasetRegistration(DatasetSource):
    """The request to register a data set (`POST /datasets`).

    Attributes:
        name: the name for specs.
    """

    name: str = Field(json_schema_extra={"pattern": f"^{NAME_PATTERN.pattern}$"})
