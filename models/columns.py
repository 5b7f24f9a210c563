"""The columns of the matrix that a network reads: what each one holds, so that an input stage can treat them apart."""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN, MISSING, RARE = 0, 1, 2
"""Codes of a code column for a category that the training part lacks, for no value, and for all rare ones together."""
N_SPECIAL = 3
"""Codes before those of the categories themselves."""


@dataclass(frozen=True)
class InputColumns:
    """The columns of one fold's matrix, in their order: numbers, flags, groups of one-hot columns, code columns.

    Attributes:
        n_values: for each number, how many different values the training part has (counted on some thousand rows
            where it has more); 0 where an earlier version did not count them.
        flags: for each flag, the index of the number that it belongs to: 1 where that was missing, else 0.
        one_hot: for each group, its number of columns, of which at most one is 1 in a row, the others 0.
        codes: for each code column, its number of codes: its values are whole numbers from 0 below that. The first
            `N_SPECIAL` are `UNKNOWN`, `MISSING` and `RARE`, then the categories, the most frequent first.
    """

    n_values: tuple[int, ...] = ()
    flags: tuple[int, ...] = ()
    one_hot: tuple[int, ...] = ()
    codes: tuple[int, ...] = ()

    @property
    def n_numbers(self) -> int:
        """Number of columns of scaled numbers, the first ones."""
        return len(self.n_values)

    @property
    def first_code(self) -> int:
        """Index of the first code column; the columns before it are read as they are."""
        return self.n_numbers + len(self.flags) + sum(self.one_hot)

    @property
    def n_inputs(self) -> int:
        """Number of all columns."""
        return self.first_code + len(self.codes)

    @property
    def sources(self) -> list[int]:
        """For each column, the index of the column of the table that it comes from, in the order of the numbers."""
        groups = [group for group, size in enumerate(self.one_hot) for _ in range(size)]
        codes = range(len(self.one_hot), len(self.one_hot) + len(self.codes))
        return [*range(self.n_numbers), *self.flags, *(self.n_numbers + i for i in (*groups, *codes))]

    @classmethod
    def of_numbers(cls, n_inputs: int) -> InputColumns:
        """Describe a matrix of numbers alone, each with many different values."""
        return cls(n_values=(2**31 - 1,) * n_inputs)
