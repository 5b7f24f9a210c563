"""What users send besides a spec, and what the master says of a spec before it runs."""

from __future__ import annotations

import re

from pydantic import Field

from foldstep.service.contract.problem import LearningProblem
from foldstep.service.contract.space import Frozen
from foldstep.service.contract.spec import Duration

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
"""The names that a data set can have."""


class Validated(Frozen):
    """Say that a spec fits its data, and what was filled in.

    Attributes:
        trials: how many it will have; None for no limit.
        notes: what the user should know, one sentence each.
    """

    problem: LearningProblem
    trials: int | None
    notes: list[str]


class Extension(Frozen):
    """`POST /searches/{id}:extend`: what a search gets besides its budget.

    Attributes:
        trials: how many more.
        time: seconds, or 90s, 10m, 2h; of the time budget, where there is one.
    """

    trials: int | None = Field(default=None, ge=1, le=10_000_000)
    time: Duration | None = None


class DatasetRegistration(Frozen):
    """`POST /datasets`: a name for a file that the master may read, or for one of scikit-learn's sets.

    Attributes:
        name: what specs call it.
        source: path, or bundled name.
    """

    name: str
    source: str
