"""Which members train together.

Members of a pack agree on what gives a step its shape: batch size, steps an epoch, validation rows, wide
layers, and the epoch that they start from. Everything else may differ. How members are cut into packs changes
the time, never a result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from models.hyperparameters import Hyperparameters
from models.layout import padded, size_class
from models.lbfgs import MEMORY
from models.stack import Weights
from worker.train.stopping import End, Progress

EVALUATION_COLUMNS = 128
"""Validation rows are scored in chunks of this size: a constant, for the chunk must not depend on the pack."""
_COLUMN_QUANTUM = 8
STEP_OVERHEAD = 3_000_000
"""What a step costs before any arithmetic, in multiply-adds (about 0.5 ms on one CPU core): a pack may waste so
much on padding before a pack of their own is cheaper for the members to come."""


@dataclass
class TrainingState:
    """What it takes to go on with a member after its last epoch: all without padding.

    Attributes:
        best: the weights of its best epoch.
        optimizer: what its update rule remembers, by name.
        average: the running average of its weights; None where the pack had none.
        good: where it goes back to should it diverge; None where that is this state, or it would not go back.
    """

    parameters: Weights
    best: Weights
    optimizer: dict[str, Weights]
    average: Weights | None
    good: TrainingState | None = None


@dataclass
class Member:
    """One network in training: one fold of one trial.

    Attributes:
        state: where to go on from; None before the first epoch.
        until: the epoch at which it waits; None to train to its end.
        legs: the epochs of earlier stages that it came through, or comes through, each under its own schedule.
        keep_state: whether its last epoch leaves its state, for a later stage to go on from.
    """

    trial: int
    fold: int
    hp: Hyperparameters
    progress: Progress = field(default_factory=Progress)
    state: TrainingState | None = None
    until: int | None = None
    legs: tuple[int, ...] = ()
    keep_state: bool = False

    @property
    def needs_state(self) -> bool:
        """Whether it, or a trial that continues its own, goes on from where it stands."""
        return self.progress.end is None or (self.keep_state and self.progress.end is End.EPOCHS)

    def epochs_at(self, epoch: int) -> int:
        """The epochs over which the schedule runs at an epoch: those of its leg."""
        return next((leg for leg in self.legs if epoch <= leg), self.hp.epochs)

    @property
    def is_resting(self) -> bool:
        """Whether there is nothing to train for now: it has ended, or waits."""
        return self.progress.end is not None or (self.until is not None and self.progress.epoch >= self.until)

    @property
    def key(self) -> tuple[int, int]:
        """What the member is known by within its search."""
        return (self.trial, self.fold)


@dataclass(frozen=True)
class FoldShape:
    """The numbers of one fold under one scaler."""

    n_train: int
    n_valid: int
    n_inputs: int


def columns_of(batch_size: int) -> int:
    """Columns of a batch: its rows, filled up to a multiple of the vector width."""
    return math.ceil(batch_size / _COLUMN_QUANTUM) * _COLUMN_QUANTUM


def n_batches(n_rows: int, batch_size: int) -> int:
    """Steps an epoch; the last batch may be short."""
    return math.ceil(n_rows / batch_size)


def effective_batch(hp: Hyperparameters, n_rows: int) -> int:
    """The rows of a full batch: never more than there are."""
    return min(hp.batch_size, n_rows)


def pack_key(member: Member, shape: FoldShape, *, is_compiled: bool = False) -> tuple[object, ...]:
    """Members with equal keys may train together."""
    sizes = [] if is_compiled else [shape.n_inputs, *member.hp.hidden]  # the library pads nobody to another's size
    classes = [size_class(size) for size in sizes]
    while classes and classes[-1] == 0:
        classes.pop()
    batch = effective_batch(member.hp, shape.n_train)
    return (
        member.hp.batch_size,
        columns_of(batch),
        n_batches(shape.n_train, batch),
        n_batches(shape.n_valid, EVALUATION_COLUMNS),
        tuple(classes),
        is_compiled,
        member.progress.epoch,
    )


def plan_packs(
    members: Iterable[Member],
    shapes: Mapping[tuple[int, int], FoldShape],
    n_outputs: int,
    pack_bytes: int,
    is_compiled: Callable[[Member], bool] = lambda _: False,
) -> list[list[Member]]:
    """Cut members into packs, deterministic for equal input.

    The folds of a trial may be in several packs; these stand near each other, so that trials are done one after the
    other rather than all at the end.

    Args:
        members: all that are to be trained, in any order.
        shapes: the fold's numbers by member key.
        n_outputs: output units.
        pack_bytes: estimated memory above which a pack is cut.
        is_compiled: whether the compiled library trains a member.
    """
    classes: dict[tuple[object, ...], list[Member]] = {}
    for member in sorted(members, key=lambda m: m.key):
        key = pack_key(member, shapes[member.key], is_compiled=is_compiled(member))
        classes.setdefault(key, []).append(member)
    cuts = [
        _cut(classes[key], shapes, n_outputs, pack_bytes, may_waste=is_compiled(classes[key][0]))
        for key in sorted(classes, key=repr)
    ]
    placed = [(place / len(packs), pack) for packs in cuts for place, pack in enumerate(packs)]
    return [pack for _, pack in sorted(placed, key=lambda one: one[0])]


def _cut(
    members: Sequence[Member],
    shapes: Mapping[tuple[int, int], FoldShape],
    n_outputs: int,
    pack_bytes: int,
    *,
    may_waste: bool,
) -> list[list[Member]]:
    """Deepest and widest first, so that padding grows from member to member; a new pack where it costs too much.

    With `may_waste` padding costs memory alone.
    """

    def sizes(m: Member) -> tuple[int, ...]:
        return (padded(shapes[m.key].n_inputs), *(padded(w) for w in m.hp.hidden), padded(n_outputs))

    ordered = sorted(members, key=lambda m: (-len(m.hp.hidden), [-s for s in sizes(m)], m.key))
    packs: list[list[Member]] = []
    room = waste = 0
    for member in ordered:
        size = sizes(member)
        batch = effective_batch(member.hp, shapes[member.key].n_train)
        if packs:
            size = _padded_to(sizes(packs[-1][0]), size)
            waste += columns_of(batch) * (_work(size) - _work(sizes(member)))
        if (
            not packs
            or (waste > STEP_OVERHEAD and not may_waste)
            or room < member_bytes(size, batch, member.hp.optimizer)
        ):
            packs.append([])
            room, waste, size = pack_bytes, 0, sizes(member)
        packs[-1].append(member)
        room -= member_bytes(size, batch, member.hp.optimizer)
    return packs


def _padded_to(widest: Sequence[int], size: Sequence[int]) -> tuple[int, ...]:
    """The sizes of a member in a pack whose first member has the sizes `widest`; outputs are always alike."""
    hidden = [max(own, other) for own, other in zip(size[:-1], widest, strict=False)]
    return (*hidden, size[-1])


def _work(sizes: Sequence[int]) -> int:
    """Multiply-adds of one pass forward for one row."""
    return sum(a * b for a, b in pairwise(sizes))


def member_bytes(sizes: Sequence[int], batch_size: int, optimizer: str = "adam") -> int:
    """Estimated memory of one member, in bytes of float32: weights with their state, activations, deltas."""
    n_weights = sum((a + 1) * b for a, b in pairwise(sizes))
    n_activations = sum(sizes[1:]) * columns_of(batch_size)
    copies = 6 + (2 * MEMORY + 3 if optimizer == "lbfgs" else 0)
    return 4 * (copies * n_weights + 2 * n_activations)
