"""Keeps a copy of everything that training changes, as it was at each member's last good epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from foldstep.models.layout import Run
from foldstep.models.stack import MemberRows


class Rollback:
    """Copies of the rows of some tensors, each member's of another time.

    Args:
        tensors: what training changes.
    """

    def __init__(self, tensors: Iterable[MemberRows]) -> None:
        self._rows = list(tensors)
        self._copies = [rows.values.clone() for rows in self._rows]

    def take(self, is_good: Tensor) -> None:
        """Copy some members as they are.

        Args:
            is_good: (members,) bool.
        """
        for rows, copy in zip(self._rows, self._copies, strict=True):
            torch.where(_like(is_good, rows.run, copy), rows.values, copy, out=copy)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Put the tensors back to what they were, until the block ends."""
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
