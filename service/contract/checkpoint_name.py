"""The names of checkpoint files: the score comes first, so that a sorted folder is a ranking.

Of the files of one search, a plain sort (by characters, as `LC_ALL=C ls` or Python's `sorted`) lists the lowest score
first: the best comes last where greater scores are better, and first where smaller ones are. A score from 1e-12 up to
what its zeros before the point allow (10, or 100,000,000 where scores may exceed 1), and 0, is written as a plain
decimal number of eight digits. Any other is a key that sorts, `=`, and the score: `-49787799998=-1220.0001`.

    key of a negative score   - (500 minus its exponent of ten) (its digits, each taken from 9)
    key of a tiny score       0.000000000000e (500 plus its exponent) (its digits)
    key of a huge score       e (500 plus its exponent) (its digits)
"""

from __future__ import annotations

import re
from typing import NamedTuple

from foldstep.models.catalog.metrics import METRICS

DIGITS = 8
"""Significant digits of a score in a name."""
_SMALLEST = -12
_WIDTH, _WIDTH_AT_MOST_ONE = 8, 1
_ZERO = f"0.{'0' * -_SMALLEST}"
_BIAS = 500
_MIRROR = str.maketrans("0123456789", "9876543210")
_NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d{1,3})?"
_NAME = re.compile(
    rf"val_(?P<metric>[a-z0-9_]+)-(?:[-0-9.e]{{5,40}}=)?(?P<score>{_NUMBER})"
    r"_trial-(?P<trial>\d{6,9})_fold-(?P<fold>\d{1,6})_epoch-(?P<epoch>\d{4,9})\.safetensors"
)


class CheckpointName(NamedTuple):
    """The parts of a checkpoint's name; `score` is rounded to `DIGITS` digits, the file's metadata has it in full."""

    metric: str
    score: float
    trial: int
    fold: int
    epoch: int

    def __str__(self) -> str:
        # scores that are at most 1 need one digit before the point; others are padded to sort up to a hundred million
        width = _WIDTH_AT_MOST_ONE if METRICS[self.metric].is_at_most_one else _WIDTH
        return (
            f"val_{self.metric}-{_sortable(self.score, width)}"
            f"_trial-{self.trial:06d}_fold-{self.fold}_epoch-{self.epoch:04d}.safetensors"
        )

    @classmethod
    def parse(cls, name: str) -> CheckpointName | None:
        """Parse a file name, of today or of version 0.1.0 (five decimals); None if it is not that of a checkpoint."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        return cls(match["metric"], float(match["score"]), int(match["trial"]), int(match["fold"]), int(match["epoch"]))


def _sortable(score: float, width: int) -> str:
    """Write a score so that texts sort as scores do, with `width` digits before the point of a plain number."""
    if score == 0.0:
        return f"{'0' * (width - 1)}{_ZERO}"
    mantissa, _, power = f"{abs(score):.{DIGITS - 1}e}".partition("e")
    digits, exponent = mantissa.replace(".", ""), int(power)
    readable = f"{score:.{DIGITS}g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    if score < 0:
        return f"-{_BIAS - exponent:03d}{digits.translate(_MIRROR)}={readable}"
    if exponent < _SMALLEST:
        return f"{'0' * (width - 1)}{_ZERO}e{_BIAS + exponent:03d}{digits}={readable}"
    if exponent >= width:
        return f"e{_BIAS + exponent:03d}{digits}={readable}"
    decimals = DIGITS - 1 - exponent
    return f"{score:0{width + 1 + decimals if decimals else width}.{decimals}f}"
