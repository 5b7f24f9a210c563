"""Keep a copy of everything that training changes, from each member's best epoch so far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from foldstep.models.layout import Run
from foldstep.models.stack import MemberRows


class Rollback:
    """Copies of tensors, where the rows of each member may be from a different epoch.

    Args:
        tensors: the tensors that training changes.
    """

    def __init__(self, tensors: Iterable[MemberRows]) -> None:
        self._rows = list(tensors)
        self._copies = [rows.values.clone() for rows in self._rows]

    def take(self, is_good: Tensor) -> None:
        """Copy the present numbers of some members.

        Args:
            is_good: (members,) bool, the members to copy.
        """
        for rows, copy in zip(self._rows, self._copies, strict=True):
            torch.where(_like(is_good, rows.run, copy), rows.values, copy, out=copy)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Set the tensors to the copies until the block ends, then back to the present numbers."""
        present = [rows.values.clone() for rows in self._rows]
        self._fill(self._copies)
        try:
            yield
        finally:
            self._fill(present)

    def _fill(self, values: Iterable[Tensor]) -> None:
        for rows, value in zip(self._rows, values, strict=True):
            rows.values.copy_(value)


def _like(flags: Tensor, run: Run, values: Tensor) -> Tensor:
    return flags[run.members].view(-1, *[1] * (values.dim() - 1))
