"""Take a pack's steps with the compiled backend: the same training as `worker.steps.eager`, up to rounding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from foldstep.models.compiled.build import NotBuilt
from foldstep.models.compiled.interface import COLUMNS, RECORDS, STACKS
from foldstep.models.compiled.library import library, pointer, pointers
from foldstep.models.compiled.members import CompiledMembers, is_covered
from foldstep.models.hyperparameters import Hyperparameters
from foldstep.worker.feed.epoch import EpochBatches
from foldstep.worker.feed.shapes import EVALUATION_COLUMNS, columns_of
from foldstep.worker.feed.validation import Validated, Validation
from foldstep.worker.steps.choice import VARIABLE, chosen
from foldstep.worker.steps.compiled_scores import CompiledScores
from foldstep.worker.steps.parts import PackParts


@cache
def why_not() -> str | None:
    """Explain in two sentences why this process does not use the compiled backend; return None if it uses it."""
    if chosen() == "eager":
        return _slowly(f"{VARIABLE} is eager.")
    try:
        library()
    except NotBuilt as reason:
        return _slowly(str(reason))
    return None


def gains_from_bf16() -> bool:
    """Tell whether this process trains faster if the factors of products may be rounded to bfloat16."""
    return why_not() is None and library().has_tiles


def _slowly(reason: str) -> str:
    return f"{reason} Networks are trained without the compiled backend, which takes about twice as long."


def is_compiled(hp: Hyperparameters, device: torch.device) -> bool:
    """Tell whether the compiled backend trains such a member; this depends on member and machine, not on the pack."""
    return device.type == "cpu" and is_covered(hp) and why_not() is None


@dataclass(frozen=True)
class _FedInputs:
    """The inputs of an epoch's batches, and copies of them in the layouts that the library reads.

    Attributes:
        batches: the batches that the copies were made of.
        by_column: for each group (steps, padded inputs, columns).
        row_pairs: for each group `Library.pairs` of the inputs; empty if no member rounds to bfloat16.
        column_pairs: for each group `Library.pairs` of `by_column`; empty likewise.
    """

    batches: EpochBatches
    by_column: list[Tensor]
    row_pairs: list[Tensor]
    column_pairs: list[Tensor]


class CompiledSteps:
    """The steps of one pack in the compiled backend, member by member.

    Args:
        parts: the parts of the pack, on the CPU.

    Raises:
        NotBuilt: the library cannot be built or loaded on this machine.
    """

    def __init__(self, parts: PackParts) -> None:
        net, optimizer = parts.net, parts.optimizer
        self._library, self._net, self._noise_row = library(), net, columns_of(parts.n_rows)
        self.columns = -(-parts.n_rows // COLUMNS) * COLUMNS  # filled up to a multiple that the library needs
        stacks = {
            "parameters": net.parameters, "gradients": net.gradients, "first": optimizer.first, "best": parts.best,
        }  # fmt: skip
        if optimizer.second is not None:
            stacks["second"] = optimizer.second
        if net.initial is not None:
            stacks["initial"] = net.initial
        if parts.average is not None:
            stacks["average"] = parts.average.weights
        has_tiles = self._library.has_tiles and net.dtype == torch.float32
        self._members = CompiledMembers(
            net.layout, stacks, net.streams, parts.task, parts.of_classes, parts.levels, has_tiles
        )
        self._fed: _FedInputs | None = None
        self._scores: CompiledScores | None = None
        self._scored = STACKS.index("parameters" if parts.average is None else "average")

    def run(
        self, batches: EpochBatches, steps: range, before: int, *, passes: bool = True, updates: bool = True
    ) -> Tensor:
        """See `worker.steps.protocol.Steps`."""
        losses = torch.zeros(len(self._net.layout), dtype=self._net.dtype)
        n_steps, n_groups, channels, columns = batches.targets.shape
        assert steps.stop <= n_steps
        noise, keys, fed = batches.dropout, batches.gradient_keys, self._feed(batches)
        courses = {"drops": batches.drops, "decays": batches.decays, "averages": batches.averages}
        record = RECORDS["Steps"](
            members=self._members.records, n_members=len(losses), first=steps.start, last=steps.stop, n_groups=n_groups,
            n_streams=len(self._net.streams),
            n_noise_layers=noise.shape[1] if noise is not None else 0,
            noise=pointer(noise) if noise is not None else None,
            gradient_keys=pointer(keys) if keys is not None else None, n_kinds=keys.shape[1] if keys is not None else 0,
            columns=columns, inputs=self._net.layout.n_inputs_padded, channels=channels, noise_row=self._noise_row,
            rows=pointers(batches.inputs), columns_of=pointers(fed.by_column),
            row_pairs=pointers(fed.row_pairs) if fed.row_pairs else None,
            column_pairs=pointers(fed.column_pairs) if fed.column_pairs else None,
            targets=pointer(batches.targets), weights=pointer(batches.weights), rates=pointer(batches.rates),
            **{name: pointer(x) for name, x in courses.items() if x is not None},
            shares=pointer(batches.weights if batches.shares is None else batches.shares),
            steps_before=before, passes=passes, updates=updates, losses=pointer(losses),
        )  # fmt: skip
        self._library.train(record, self._net.dtype)
        return losses

    def _feed(self, batches: EpochBatches) -> _FedInputs:
        """Make the inputs in the layouts that the library reads, once for all calls of `run` in an epoch."""
        if self._fed is None or self._fed.batches is not batches:
            by_column = [self._library.transposed(x) for x in batches.inputs]
            paired = (batches.inputs, by_column) if self._members.in_bf16 else ([], [])
            self._fed = _FedInputs(batches, by_column, *([self._library.pairs(x) for x in of] for of in paired))
        return self._fed

    def evaluate(self, validation: Validation) -> Validated:
        """See `worker.steps.protocol.Steps`."""
        if self._scores is None:
            self._scores = CompiledScores(validation, self._net.layout)
        record = RECORDS["Evaluation"](
            members=self._members.records, n_members=len(self._net.layout), stack=self._scored,
            columns=EVALUATION_COLUMNS, inputs=self._net.layout.n_inputs_padded, **self._scores.fields(),
        )  # fmt: skip
        self._library.evaluate(record, self._net.dtype)
        return self._scores.validated()

    def keep_best(self, is_best: Tensor) -> None:
        """See `worker.steps.protocol.Steps`."""
        members = self._members.records
        record = RECORDS["Keeping"](
            members=members, n_members=len(members), stack=self._scored, is_best=pointer(is_best)
        )
        self._library.keep(record, self._net.dtype)
