"""Decide which members train together.

Members of a pack agree in everything that determines the shape of a step: batch size, steps in an epoch,
validation chunks, padded sizes of wide layers (unless compiled), backend, precision (unless compiled), and the epoch
that they start from. Everything else may differ.
The division into packs changes the time, but no result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from foldstep.models.catalog.backends import Backend
from foldstep.models.catalog.optimizers import OPTIMIZERS
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.models.layout import padded, size_class
from foldstep.service.contract.size import COPIES
from foldstep.worker.feed.augment import augmentation_of
from foldstep.worker.feed.shapes import EVALUATION_COLUMNS, FoldShape, columns_of, effective_batch, n_batches
from foldstep.worker.steps.cost import DEFAULT_OVERHEAD
from foldstep.worker.train.member import Member

_LARGER = 4
"""Factor by which compiled packs may be larger: their members train one by one, so only one member, not the pack, must
fit the cache. More members then share the fixed cost of a pack, 1 to 4 % of a search on the digits data."""
_LEAST = 32
"""Least members in each part of a split pack: with fewer, launching the steps of two costs more than it saves."""
_LINE_SEARCH = 3
"""Numbers stored for each weight by a rule with a history: the last accepted point, its gradient, the direction."""
_INPUTS = 2
"""Numbers stored for each input of an epoch's batches: by row and by column."""
_OUTPUTS = 3
"""Numbers stored for each output that is kept: itself, its target, its gradient."""


def shape_key(member: Member, shape: FoldShape, backend: Backend = "eager") -> tuple[object, ...]:
    """Compute the key of a member that must be equal for all members of a pack."""
    # the compiled library does not pad layers to other members' sizes
    sizes = [] if backend == "compiled" else [shape.n_first, *member.hp.hidden]
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
    """Divide members into packs of the least estimated time; equal input gives equal packs.

    The folds of a trial may be in several packs; these are near each other in the list, so that trials finish one after
    the other and not all at the end.

    Args:
        members: all members to train, in any order.
        shapes: the shape of each member's fold, by the member's key.
        n_outputs: output units.
        pack_bytes: greatest estimated memory of a pack, in bytes.
        backend_of: returns the backend of a member.
        overhead: fixed cost of a step, in multiply-adds (`StepCost`); padding may waste so many in a step of a pack,
            beyond that a new pack is cheaper.
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
    """Halve the largest packs until there are `at_least` packs, or the packs are too small to halve."""
    found = list(packs)
    while 0 < len(found) < at_least:
        i = max(range(len(found)), key=lambda i: len(found[i]))
        pack = found[i]
        if len(pack) < 2 * _LEAST:
            break
        found[i : i + 1] = [pack[: len(pack) // 2], pack[len(pack) // 2 :]]
    return found


def _cut(members: Sequence[Member], estimate: _Estimate, pack_bytes: int, overhead: float) -> list[list[Member]]:
    """Divide members into packs, deepest and widest first; begin a new pack at the limit of memory or padding."""
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
    """Estimates of the cost of a member in a pack whose first member is the widest."""

    shapes: Mapping[tuple[int, int], FoldShape]
    n_outputs: int
    is_compiled: bool

    def sizes(self, member: Member) -> tuple[int, ...]:
        """List the padded units of every layer of a member, from the input to the output."""
        n_first = padded(self.shapes[member.key].n_first)
        return (n_first, *(padded(w) for w in member.hp.hidden), padded(self.n_outputs))

    def waste(self, member: Member, widest: Member) -> int:
        """Count the multiply-adds of a step that are spent on padding; none with the compiled library."""
        if self.is_compiled:
            return 0
        columns = columns_of(effective_batch(member.hp, self.shapes[member.key].n_train))
        return columns * (_work(self._beside(member, widest), member.hp) - _work(self.sizes(member), member.hp))

    def bytes(self, member: Member, widest: Member) -> int:
        """Estimate the memory of a member in bytes, including padding."""
        shape = self.shapes[member.key]
        return member_bytes(self._beside(member, widest), shape, member.hp, is_compiled=self.is_compiled)

    def _beside(self, member: Member, widest: Member) -> tuple[int, ...]:
        """List the sizes of a member's layers, padded to those of the widest member; all have the same outputs."""
        own = self.sizes(member)
        hidden = [max(pair) for pair in zip(own[:-1], self.sizes(widest), strict=False)]
        return (*hidden, own[-1])


def _work(sizes: Sequence[int], hp: Hyperparameters) -> int:
    """Count the multiply-adds of a forward pass for one row; `sizes` are the units of every layer."""
    return sum(a * b for a, b in pairwise(sizes)) + hp.n_second(sizes)


def member_bytes(sizes: Sequence[int], shape: FoldShape, hp: Hyperparameters, *, is_compiled: bool) -> int:
    """Estimate the memory of a member in float32, in bytes; `benchmarks.members` compares it with measurements.

    Args:
        sizes: padded units of every layer, from the input to the output.
        shape: the shape of its fold.
        hp: its hyperparameters.
        is_compiled: whether the compiled library trains it, which needs memory for the passes of one member only.
    """
    n_weights, n_units = sum((a + 1) * b for a, b in pairwise(sizes)) + hp.n_second(sizes), sum(sizes[1:])
    n_units += 2 * sum(sizes[1:-1]) if hp.has_second else 0
    history = OPTIMIZERS[hp.optimizer].rule.history
    of_weights = COPIES + (2 * history + _LINE_SEARCH if history else 0) + (hp.decay_towards == "init")
    batch = 0 if is_compiled else columns_of(effective_batch(hp, shape.n_train))
    n_held = shape.n_valid if shape.n_held is None else shape.n_held
    columns = n_batches(n_held, EVALUATION_COLUMNS) * EVALUATION_COLUMNS
    if shape.stage is not None:
        n_weights, n_units = n_weights + shape.stage.n_parameters, n_units + shape.stage.values_per_row
    own_rows = shape.n_train * sizes[0] if augmentation_of(hp).is_on else 0  # its batches are no other member's
    of_rows = _INPUTS * own_rows + n_units * (2 * batch + EVALUATION_COLUMNS) + _OUTPUTS * sizes[-1] * columns
    return 4 * (of_weights * n_weights + of_rows)
