"""The tables and texts of the CLI: the leaderboard, findings, searches, data sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from foldstep.service.contract.checks import CheckReport
from foldstep.service.contract.dataset import Dataset
from foldstep.service.contract.leaderboard import SearchView, TrialView
from foldstep.service.contract.numbers import number as number_text
from foldstep.service.contract.numbers import score, spread
from foldstep.service.contract.states import SearchState, TrialState

STATE_STYLE = {
    SearchState.QUEUED: "default",
    SearchState.RUNNING: "cyan",
    SearchState.COMPLETED: "green",
    SearchState.FAILED: "red",
    SearchState.STOPPED: "yellow",
    SearchState.PAUSED: "yellow",
}


def number(value: Any) -> str:
    """Format a value for people: floats with four significant digits."""
    return number_text(value) if isinstance(value, float) else str(value)


def count(value: int | None) -> str:
    """Format a count with thousands separators; None is a dash."""
    return "–" if value is None else f"{value:,}"


def n_done(search: SearchView) -> int:
    """Count the trials that have ended, without those that their search cancelled."""
    return search.progress.trials_done


def leaderboard(search: SearchView, rows: Sequence[TrialView], width: int = 80) -> Table:
    """Build the ranking: a column for each searched hyperparameter if `width` characters suffice, else one for all."""
    names = _searched(search)
    cells = [[number(r.params[n]) if n in r.params else "" for n in names] for r in rows]
    lengths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    is_wide = sum(lengths) + 3 * len(names) <= width - _FIXED_WIDTH
    table = Table(title=f"{search.name}: {search.metric.name}, mean of {search.n_folds} folds", title_justify="left")
    table.caption, table.caption_justify = " ".join(_remarks(search, rows)) or None, "left"
    for heading in ("rank", "trial", "score", "± folds", "epochs", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in names if is_wide else ["hyperparameters"]:
        table.add_column(heading)
    for row, values in zip(rows, cells, strict=True):
        told = values if is_wide else [", ".join(f"{n} {v}" for n, v in zip(names, values, strict=True) if v)]
        rank = row.state.value if row.rank is None else str(row.rank)
        around = spread(row.spread, row.score)
        fixed = [rank, str(row.trial), score(row.score), around, str(row.epochs), count(row.n_parameters)]
        table.add_row(*fixed, *map(escape, told))
    return table


def _remarks(search: SearchView, rows: Sequence[TrialView]) -> list[str]:
    """Write what stands below the leaderboard: the baseline, and the trials whose metric is undefined."""
    remarks = []
    if search.baseline is not None:
        n_below = sum(is_no_better(search, row) for row in rows)
        below = f"; {n_below} of these trials {'is' if n_below == 1 else 'are'} no better" if n_below else ""
        remarks.append(f"baseline {score(search.baseline)}: the constant answer{below}.")
    if any(row.state is TrialState.UNDEFINED for row in rows):
        remarks.append("undefined: the metric has no value; `foldstep show` with the trial says why.")
    return remarks


def too_short(search: SearchView) -> str | None:
    """Say of a search whose time was over before any trial had a score what is known anyway; None for all others."""
    if search.state is not SearchState.COMPLETED or n_done(search) > 0:
        return None
    known = ""
    if search.baseline is not None:
        known = f" All that is known is the constant answer, whose {search.metric.name} is {score(search.baseline)}."
    return (
        f"The time was over before a trial had its first epoch.{known} Begin again with a longer time, or extend the "
        f"search: foldstep extend {search.id} --time 2m."
    )


def is_no_better(search: SearchView, row: TrialView) -> bool:
    """Tell whether a trial has a score that does not beat that of the constant answer."""
    if search.baseline is None or row.score is None:
        return False
    return not search.metric.direction.is_better(row.score, than=search.baseline)


_FIXED_WIDTH = 60
"""Characters of the leaderboard's first six columns with their borders."""


def _searched(search: SearchView) -> list[str]:
    names: dict[str, None] = {}
    for stage in search.stages:
        names |= dict.fromkeys(stage.space.searched())
    return [n for n in names if n != "epochs"]


OUTCOME_STYLE = {"passed": "green", "failed": "red", "skipped": "yellow"}


def checks(report: CheckReport) -> Table:
    """Build the table of checks: one row for each, with what to look at where it failed."""
    table = Table(title=f"Checks before the search, {report.duration_s:.1f} s", title_justify="left")
    table.add_column("check", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("what was found", overflow="fold")
    for result in report.results:
        found = result.sentence if result.look_at is None else f"{result.sentence} {result.look_at}"
        table.add_row(result.name, f"[{OUTCOME_STYLE[result.outcome]}]{result.outcome}[/]", escape(found))
    return table


def searches(found: Iterable[SearchView]) -> Table:
    """Build the table of searches: one row for each."""
    table = Table()
    table.add_column("search", no_wrap=True)
    for heading in ("state", "trials", "best", "method", "begun (UTC)"):
        table.add_column(heading)
    for s in found:
        done, planned = s.progress.trials_done, s.progress.trials_planned
        total = str(done) if planned is None else f"{done}/{planned}"
        best = f"{s.metric.name} {score(s.best.score)}" if s.best else "–"
        state = f"[{STATE_STYLE[s.state]}]{s.state}[/]"
        table.add_row(s.id, state, total, best, s.method, s.created_at.strftime("%Y-%m-%d %H:%M"))
    return table


def findings(search: SearchView) -> list[str]:
    """List the sentences of the master and of the border check, stage by stage."""
    said = [f"Stage {s.stage + 1}: {b.sentence}" for s in search.stages for b in s.borders]
    if len(search.stages) == 1:
        said = [b.sentence for s in search.stages for b in s.borders]
    return [*search.notes, *(said or ["No best value sits at the edge of its range."])]


def trial(search: SearchView, row: TrialView) -> Table:
    """Build the table of everything known about one trial."""
    table = Table("", "", show_header=False, title=f"{search.id}, trial {row.trial}", title_justify="left")
    table.columns[1].overflow = "fold"
    state = "metric undefined" if row.state is TrialState.UNDEFINED else row.state.value
    table.add_row("state", state + (f": {escape(row.message)}" if row.message else ""))
    table.add_row("rank", "–" if row.rank is None else str(row.rank))
    table.add_row(search.metric.name, f"{score(row.score)} ± {spread(row.spread, row.score)}")
    if search.baseline is not None:
        verdict = ": this trial is no better" if is_no_better(search, row) else ""
        table.add_row("baseline", f"{score(search.baseline)}, the constant answer{verdict}")
    table.add_row("folds", "  ".join(score(f) for f in row.folds))
    table.add_row("epochs", f"{row.epoch} of {row.epochs}")
    if row.continues is not None:
        table.add_row("continues", f"trial {row.continues}")
    table.add_row("size", f"{count(row.n_parameters)} parameters")
    table.add_row("attempts", str(row.attempts))
    for name, value in row.params.items():
        table.add_row(escape(name), escape(number(value)))
    for path in row.checkpoints:
        table.add_row("checkpoint", escape(f"{search.checkpoint_dir}/{path}"))
    return table


def datasets(found: Iterable[Dataset]) -> Table:
    """Build the table of data sets: one row for each."""
    table = Table()
    for heading in ("name", "rows", "columns", "source", "fingerprint"):
        table.add_column(heading)
    for d in found:
        facts = d.description
        table.add_row(
            escape(d.name), str(facts.n_rows), str(len(facts.columns)), escape(facts.source), facts.fingerprint[:12]
        )
    return table
