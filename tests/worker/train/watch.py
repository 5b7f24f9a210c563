"""A monitor that records everything it is told about a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from foldstep.models.weights import Weights
from foldstep.worker.train.member import Member


class Watch:
    def __init__(self, *, drop: set[int] | None = None, leave_after: int | None = None) -> None:
        self.done: dict[tuple[int, int], tuple[Member, Weights | None]] = {}
        self.epochs = 0
        self.member_steps = 0
        self.drop = drop or set()
        self.leave_after = leave_after
        self.on_epoch: Callable[[Sequence[Member]], None] = lambda _: None

    def epoch_done(self, members: Sequence[Member], member_steps: int) -> None:
        self.epochs += 1
        self.member_steps += member_steps
        self.on_epoch(members)

    def member_done(self, member: Member, weights: Weights | None) -> None:
        assert member.key not in self.done, "a member ends once"
        self.done[member.key] = (member, weights)

    def dropped_trials(self) -> set[int]:
        return self.drop

    def is_leaving(self) -> bool:
        return self.leave_after is not None and self.epochs >= self.leave_after

    def wants_snapshots(self) -> bool:
        return False

    def snapshots_taken(self) -> None:
        raise AssertionError("nobody asked for states")
