"""Decides which members train together.

Members of a pack agree on what gives a step its shape: batch size, steps an epoch, validation rows, wide layers where
they are padded to each other, their backend, their precision where they share products, and the epoch that they start
from. Everything else may differ.
How members are cut into packs changes the time, never a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.layout import padded, size_class
from foldstep.worker.feed.shapes import EVALUATION_COLUMNS, FoldShape, columns_of, effective_batch, n_batches
from foldstep.worker.steps.cost import DEFAULT_OVERHEAD
from foldstep.worker.steps.engine import Backend
from foldstep.worker.train.member import Member

_LARGER = 4
"""How many times larger a pack may be whose members the compiled library trains: one by one, so that not the pack but a
member has to fit the cache. What a pack costs for itself, 1 to 4 % of a search of digits, is shared by more."""
_LEAST = 32
"""Members of each part of a pack that is split: with fewer, launching the steps of both costs more than it saves."""
_COPIES = 7
"""Numbers for each weight: itself, gradient, two moments, update, the best one, the one before a probed step."""
_LINE_SEARCH = 3
"""Numbers for each weight of a rule with a history: the point that it stands at, the gradient there, the direction."""
_OUTPUTS = 3
"""Numbers for each output that is held: itself, its target, its gradient."""


def shape_key(member: Member, shape: FoldShape, backend: Backend = "eager") -> tuple[object, ...]:
    """Give what members of a pack have to agree on: those with equal keys may train together."""
    # the library pads nobody to another's size
    sizes = [] if backend == "compiled" else [shape.n_inputs, *member.hp.hidden]
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
        backend,
        None if backend == "compiled" else member.hp.precision,
        member.progress.epoch,
    )


def plan_packs(
    members: Iterable[Member],
    shapes: Mapping[tuple[int, int], FoldShape],
    n_outputs: int,
    pack_bytes: int,
    backend_of: Callable[[Member], Backend] = lambda _: "eager",
    overhead: float = DEFAULT_OVERHEAD,
) -> list[list[Member]]:
    """Cut members into packs that take the least time, as far as is known; deterministic for equal input.

    The folds of a trial may be in several packs; these stand near each other, so that trials are done one after the
    other rather than all at the end.

    Args:
        members: all that are to be trained, in any order.
        shapes: the fold's numbers by member key.
        n_outputs: output units.
        pack_bytes: estimated memory above which a pack is cut.
        backend_of: a member's backend.
        overhead: what a step costs before any arithmetic, in multiply-adds (`StepCost`): a pack may waste so much on
            padding before a pack of their own is cheaper for the members to come.
    """
    classes: dict[tuple[object, ...], list[Member]] = {}
    for member in sorted(members, key=lambda m: m.key):
        key = shape_key(member, shapes[member.key], backend_of(member))
        classes.setdefault(key, []).append(member)
    cuts = []
    for key in sorted(classes, key=repr):
        estimate = _Estimate(shapes, n_outputs, is_compiled=backend_of(classes[key][0]) == "compiled")
        room = _LARGER * pack_bytes if estimate.is_compiled else pack_bytes
        cuts.append(_cut(classes[key], estimate, room, overhead))
    placed = [(place / len(packs), pack) for packs in cuts for place, pack in enumerate(packs)]
    return [pack for _, pack in sorted(placed, key=lambda one: one[0])]


def split_largest(packs: Sequence[list[Member]], at_least: int) -> list[list[Member]]:
    """Cut the largest packs in two until there are `at_least` so many, if they are large enough."""
    found = list(packs)
    while 0 < len(found) < at_least:
        i = max(range(len(found)), key=lambda i: len(found[i]))
        pack = found[i]
        if len(pack) < 2 * _LEAST:
            break
        found[i : i + 1] = [pack[: len(pack) // 2], pack[len(pack) // 2 :]]
    return found


def _cut(members: Sequence[Member], estimate: _Estimate, pack_bytes: int, overhead: float) -> list[list[Member]]:
    """Cut members, the deepest and widest first, so that padding grows; begin a new pack where it costs too much."""
    ordered = sorted(members, key=lambda m: (-len(m.hp.hidden), [-s for s in estimate.sizes(m)], m.key))
    packs: list[list[Member]] = []
    room = waste = 0
    for member in ordered:
        if packs:
            waste += estimate.waste(member, packs[-1][0])
        if not packs or waste > overhead or room < estimate.bytes(member, packs[-1][0]):
            packs.append([])
            room, waste = pack_bytes, 0
        packs[-1].append(member)
        room -= estimate.bytes(member, packs[-1][0])
    return packs


@dataclass(frozen=True)
class _Estimate:
    """The costs of members beside the widest one of their pack."""

    shapes: Mapping[tuple[int, int], FoldShape]
    n_outputs: int
    is_compiled: bool

    def sizes(self, member: Member) -> tuple[int, ...]:
        """Give the padded units of every layer of a member, from the input to the output."""
        n_inputs = padded(self.shapes[member.key].n_inputs)
        return (n_inputs, *(padded(w) for w in member.hp.hidden), padded(self.n_outputs))

    def waste(self, member: Member, widest: Member) -> int:
        """Count the multiply-adds that padding adds to a step; the compiled library computes with none."""
        if self.is_compiled:
            return 0
        columns = columns_of(effective_batch(member.hp, self.shapes[member.key].n_train))
        return columns * (_work(self._beside(member, widest)) - _work(self.sizes(member)))

    def bytes(self, member: Member, widest: Member) -> int:
        """Estimate the memory of a member in bytes, padding and all."""
        shape = self.shapes[member.key]
        return member_bytes(self._beside(member, widest), shape, member.hp, is_compiled=self.is_compiled)

    def _beside(self, member: Member, widest: Member) -> tuple[int, ...]:
        """Give the sizes of a member in a pack with a widest one; outputs are always alike."""
        own = self.sizes(member)
        hidden = [max(pair) for pair in zip(own[:-1], self.sizes(widest), strict=False)]
        return (*hidden, own[-1])


def _work(sizes: Sequence[int]) -> int:
    """Count the multiply-adds of one pass forward for one row."""
    return sum(a * b for a, b in pairwise(sizes))


def member_bytes(sizes: Sequence[int], shape: FoldShape, hp: Hyperparameters, *, is_compiled: bool) -> int:
    """Estimate the memory of a member, in bytes of float32; `benchmarks.members` holds it against what is measured.

    Args:
        sizes: padded units of every layer, from the input to the output.
        shape: of its fold.
        hp: its hyperparameters.
        is_compiled: whether the compiled library trains it: one member at a time, in room that all share.
    """
    n_weights, n_units = sum((a + 1) * b for a, b in pairwise(sizes)), sum(sizes[1:])
    history = OPTIMIZERS[hp.optimizer].rule.history
    of_weights = _COPIES + (2 * history + _LINE_SEARCH if history else 0)
    batch = 0 if is_compiled else columns_of(effective_batch(hp, shape.n_train))
    n_held = shape.n_valid if shape.n_held is None else shape.n_held
    columns = n_batches(n_held, EVALUATION_COLUMNS) * EVALUATION_COLUMNS
    return 4 * (of_weights * n_weights + n_units * (2 * batch + EVALUATION_COLUMNS) + _OUTPUTS * sizes[-1] * columns)
