"""The results of the checks before a search: a report for people, which also decides whether the search may start."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from foldstep.service.contract.space import Frozen

CheckOutcome: TypeAlias = Literal["passed", "failed", "skipped"]
Number: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]


class CheckResult(Frozen):
    """The result of one check.

    Attributes:
        name: as in `worker.checks.run.CHECKS`.
        sentence: the finding in words.
        look_at: what the user should look at, one sentence; None where nothing is wrong.
        numbers: the measured numbers behind the sentence, by name; None where a number was not finite.
    """

    name: str = Field(min_length=1, max_length=100)
    outcome: CheckOutcome
    sentence: str
    look_at: str | None = None
    numbers: dict[str, Number | None] = Field(default_factory=dict)


class CheckReport(Frozen):
    """The results of all checks of a search, in their order.

    Attributes:
        duration_s: wall time of all checks together, in seconds.
    """

    results: list[CheckResult]
    duration_s: float = Field(ge=0, allow_inf_nan=False)

    @property
    def failed(self) -> list[CheckResult]:
        """The checks that failed."""
        return [r for r in self.results if r.outcome == "failed"]

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failed
