"""The report: paired differences of the errors to Foldstep's, by file, with standard errors; who is ahead."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.quality.cases import BUNDLED, FILES
from benchmarks.quality.others import NAMES, limit_of

Row = dict[str, Any]
BEGIN, END = "<!-- written by `python -m benchmarks.quality --report` -->", "<!-- end of the quality table -->"
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
TITLES = {
    "realmlp": "RealMLP", "mlp": "scikit-learn MLP", "boosting": "HistGradientBoosting", "catboost": "CatBoost",
    "mlp_search": "scikit-learn's random search", "optuna": "Optuna and PyTorch", "realmlp_search": "RealMLP tuned",
}  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """A side's error less Foldstep's, split by split: positive where Foldstep is ahead.

    Attributes:
        error: standard error of the mean; NaN of a single split.
    """

    mean: float
    error: float
    n: int

    @property
    def is_ahead(self) -> bool:
        """Whether Foldstep has the smaller error in the mean."""
        return self.mean > 0

    @property
    def is_behind(self) -> bool:
        """Whether Foldstep is behind by more than one standard error."""
        return self.mean < -(self.error if math.isfinite(self.error) else 0.0)


def difference(own: dict[int, float], theirs: dict[int, float]) -> Difference | None:
    """Pair the errors of the splits that both sides have; None where there is none."""
    pairs = [theirs[split] - own[split] for split in sorted(own.keys() & theirs.keys())]
    if not pairs:
        return None
    error = statistics.stdev(pairs) / math.sqrt(len(pairs)) if len(pairs) > 1 else math.nan
    return Difference(statistics.mean(pairs), error, len(pairs))


Errors = dict[str, dict[int, float]]
"""The errors of one file and sample, by side and split."""


def errors_by_table(rows: Sequence[Row], own: str, seconds: float) -> dict[tuple[str, int], Errors]:
    """Collect the errors by file and sample; of Foldstep's sides those of one space and time."""
    order = [(sample, file.title) for sample in sorted({r["sample"] for r in rows}) for file in (*FILES, *BUNDLED)]
    tables: dict[tuple[str, int], Errors] = {(title, sample): {} for sample, title in order}
    for row in rows:
        if row["side"] in (own, *NAMES) and row["seconds"] == limit_of(row["side"], seconds):
            tables[row["file"], row["sample"]].setdefault(row["side"], {})[row["split"]] = row["error"]
    return {key: sides for key, sides in tables.items() if own in sides}


def table(rows: Sequence[Row], own: str, seconds: float) -> str:
    """Write the table and the sentences below it."""
    found = errors_by_table(rows, own, seconds)
    there = [side for side in NAMES if any(side in sides for sides in found.values())]
    if not found:
        return f"No split was measured with {own} for {seconds:g} s.\n"
    lines = [
        f"Test errors (rmse, or share of wrong classes), means over the splits, of `{own}` with {seconds:g} s. In",
        "brackets the difference to it split by split, with its standard error: + where Foldstep is ahead.",
        "",
        "| data | rows | splits | Foldstep | " + " | ".join(TITLES[side] for side in there) + " | least error |",
        "| --- | --- | --- | --- |" + " --- |" * (len(there) + 1),
        *(_line(title, sample, sides, own, there) for (title, sample), sides in found.items()),
        "",
        *_sentences(list(found.values()), own),
    ]
    return "\n".join(lines) + "\n"


def _line(title: str, sample: int, sides: Errors, own: str, others: Sequence[str]) -> str:
    cells = [f"{title}", f"{sample:,}" if sample else "all", str(len(sides[own])), _number(_mean(sides[own]))]
    cells += [_cell(sides[own], sides.get(side, {})) for side in others]
    means = {side: _mean({k: v for k, v in of.items() if k in sides[own]}) for side, of in sides.items()}
    best = min(means, key=means.__getitem__)
    return "| " + " | ".join([*cells, TITLES.get(best, "Foldstep")]) + " |"


def _cell(own: dict[int, float], theirs: dict[int, float]) -> str:
    found = difference(own, theirs)
    if found is None:
        return "–"
    shown = _number(_mean({k: v for k, v in theirs.items() if k in own}))
    spread = f" ± {_number(found.error)}" if math.isfinite(found.error) else ""
    return f"{shown} ({'+' if found.mean >= 0 else '-'}{_number(abs(found.mean))}{spread})"


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def _mean(errors: dict[int, float]) -> float:
    return statistics.mean(errors.values()) if errors else math.inf


def _sentences(tables: Sequence[Errors], own: str) -> list[str]:
    """Count for each other side where Foldstep is ahead, and where it is behind by more than a standard error."""
    sentences = []
    for side in NAMES:
        found = [d for of in tables if (d := difference(of[own], of.get(side, {}))) is not None]
        if found:
            ahead, behind = sum(d.is_ahead for d in found), sum(d.is_behind for d in found)
            sentences.append(
                f"- Against {TITLES[side]}: ahead on {ahead} of {len(found)}, behind by more than a standard error on "
                f"{behind}."
            )
    return sentences


def write(text: str, page: Path = PAGE, begin: str = BEGIN, end: str = END) -> None:
    """Put the text between its two marks on the page; where there are none, at the end of it."""
    content, block = page.read_text(), f"{begin}\n\n{text}\n{end}\n"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end) + "\n?", re.DOTALL)
    if pattern.search(content):
        page.write_text(pattern.sub(lambda _: block, content))
    else:
        page.write_text(content.rstrip("\n") + "\n\n" + block)
