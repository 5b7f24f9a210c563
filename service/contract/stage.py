"""The plan of one stage of a search, in the form in which it is stored."""

from __future__ import annotations

from bisect import bisect_left

from pydantic import Field

from foldstep.service.contract.space import Frozen, Params, Space


class EnqueuedTrial(Frozen):
    """A trial that a user enqueued: its index within the stage, and its point of the space."""

    index: int
    params: Params


class StagePlan(Frozen):
    """The plan that the trials of one stage are proposed from.

    Attributes:
        index: index of the stage, from 0.
        space: the distributions of this stage.
        trials: number of its trials; None for no limit.
        epochs: epochs of each of its trials; None where every trial has its own.
        extensions: how often each parameter's range has been extended so far.
        first_trial: number of its first trial; numbers continue from stage to stage.
        survivors: configurations that this stage trains first, with its own epochs: the best of the previous stage, or
            of another search (warm start).
        continues: for each survivor, the number of the trial that it continues; None for one that starts from the
            beginning, as its trial did not train all epochs of its stage; empty where all start from the beginning.
        batch: how many trials are proposed from the same history; None where proposals do not depend on results.
        enqueued: trials that a user enqueued, by index; the planner's own trials have the indices between them.
        refits: the trials of another search that are trained again here, for a refit (see `Refitted`) or an ensemble;
            None before they are known, and where none are.
    """

    index: int
    space: Space
    trials: int | None
    epochs: int | None = None
    extensions: dict[str, int] = Field(default_factory=dict)
    first_trial: int = 0
    survivors: list[Params] = Field(default_factory=list)
    continues: list[int | None] = Field(default_factory=list)
    batch: int | None = None
    enqueued: list[EnqueuedTrial] = Field(default_factory=list)
    refits: dict[int, int] | None = None

    @property
    def taken(self) -> list[int]:
        """The indices of enqueued trials, in order."""
        return [trial.index for trial in self.enqueued]

    def n_own(self, index: int) -> int:
        """Count the planner's own trials before an index."""
        return index - bisect_left(self.taken, index)

    def own_index(self, place: int) -> int:
        """Find the index of the planner's own trial at a place among its own, from 0."""
        return nth_free(self.taken, place)


def nth_free(taken: list[int], place: int) -> int:
    """Find the number at a place among the whole numbers from 0 that are not taken; `taken` is in order."""
    for number in taken:
        if number > place:
            break
        place += 1
    return place
