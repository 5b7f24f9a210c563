"""Words for "no value" that stand among numbers or dates."""

from __future__ import annotations

import polars as pl

NO_VALUE_WORDS = (
    "-", "--", "---", "–", "\u2014", ".", "..", "...", "*", "**", "***", "#", "none", "nil", "missing", "unknown",
    "unbekannt",
    "k.a.", "k. a.", "n.a.", "n.a", "na.", "n/d", "n.d.", "nd", "s/d", "n.v.", "not available", "not applicable",
    "no data", "nodata", "no value", "error", "err", "tbd", "blank", "(blank)", "(null)", "undefined", "not reported",
    "refused", "don't know", "below detection limit", "bdl", "<lod", "void", "invalid", "failed", "keine",
    "keine angabe", "inconnu", "desconocido", "offline", "nan%", "-.-", "prefer not to say", "prefer not to answer",
    "rather not say", "dk", "no answer", "not stated", "not specified", "0000-00-00", "0000-00-00 00:00:00",
)  # fmt: skip
"""Texts that stand for "no value" in a column that is numbers or dates besides; elsewhere they are categories."""


def is_no_value(text: pl.Series) -> pl.Series:
    """Tell for each cell whether it is a word for "no value"."""
    return text.str.to_lowercase().is_in(list(NO_VALUE_WORDS))
