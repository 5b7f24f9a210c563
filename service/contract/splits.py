"""The rule of how many rows are held out, so that the master can foretell what the worker will do."""

from __future__ import annotations


def n_held_out(count: int, share: float) -> int:
    """How many of `count` rows (of a class, where classes are kept in proportion) a share holds out.

    At least one on either side where there are two rows; none of a single row.
    """
    return min(max(round(count * share), 1), count - 1) if count > 1 else 0
