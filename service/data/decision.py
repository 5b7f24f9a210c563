"""Hold what is decided of a column of text, and what the decisions about numbers, dates and text share."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from foldstep.service.contract.dataset import Finding
from foldstep.service.contract.reading import ColumnReading, DateOrder, Decimal
from foldstep.service.data.cells import Unfit
from foldstep.service.data.no_value import is_no_value
from foldstep.service.data.sampling import thinned

FITTING_SHARE = 0.9
"""A column is numbers, or dates, if at least this share of its cells are, words for "no value" apart."""
_SAMPLE = 1_000


@dataclass(frozen=True)
class FileEvidence:
    """What the columns of a file together tell of its way of writing.

    Attributes:
        decimal: the decimal sign; None where no column tells.
        order: of day and month; None where no column tells.
        delimiter: between cells.
    """

    decimal: Decimal | None = None
    order: DateOrder | None = None
    delimiter: str = ","


@dataclass(frozen=True)
class Decision:
    """What a column holds.

    Attributes:
        why: in words.
        unfit: cells that are missing because they do not fit.
        findings: what the user should know.
        is_open: whether the order of day and month is a guess.
        values: the cells under this reading, where deciding took them; None to be converted yet.
    """

    reading: ColumnReading
    why: str
    unfit: Unfit | None = None
    findings: list[Finding] = field(default_factory=list)
    is_open: bool = False
    values: pl.Series | None = None


def mostly_fits(text: pl.Series, values: pl.Series, least: float) -> bool:
    """Tell whether enough cells have a value, words for "no value" apart, or all but the first do.

    Args:
        text: cells, trimmed; null where missing.
        values: of the cells; null where one does not fit.
        least: the share of the cells that must fit.
    """
    n_fit = len(values) - values.null_count()
    odd = text.filter(values.is_null() & text.is_not_null())
    n_words = int(is_no_value(odd).sum() or 0)
    n_cells = len(text) - text.null_count() - n_words
    is_first_alone = len(odd) == 1 and n_fit >= 2 and values[0] is None and text[0] is not None
    return n_fit > 0 and (n_fit >= least * n_cells or is_first_alone)


def sample_of(text: pl.Series) -> pl.Series:
    """Take some cells, spread over the column, without missing ones and words for "no value"."""
    chosen = thinned(text.drop_nulls(), _SAMPLE)
    return chosen.filter(~is_no_value(chosen))
