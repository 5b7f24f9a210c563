"""Take some cells of a long column, the same ones each time."""

from __future__ import annotations

import polars as pl


def thinned(cells: pl.Series, most: int = 20_000) -> pl.Series:
    """Draw at most this many cells at random, with a fixed seed; a column of no more is taken as it is."""
    return cells if len(cells) <= most else cells.sample(most, seed=0)
