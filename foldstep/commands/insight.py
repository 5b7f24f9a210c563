"""`importance` and `compare`: analyses of the hyperparameters of a search."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from foldstep.connect import DEFAULT_DIR, connect
from foldstep.display import number
from foldstep.options import Dir, Json, SearchId, Token, Url, out, print_json
from foldstep.service.contract.insight import Comparison, ImportanceReport, ParameterInsight
from foldstep.service.contract.numbers import score, spread

_BAR_WIDTH = 20


def importance(
    search: SearchId, url: Url = None, token: Token = None, data_dir: Dir = DEFAULT_DIR, as_json: Json = False
) -> None:
    """Show which hyperparameters matter, alone and together, with advice for each."""
    report = connect(url, token, data_dir).importance(search)
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    if report.parameters:
        out.print(_importance_table(report))
    for row in report.parameters:
        out.print(f"• {escape(row.advice)}", highlight=False)
    for pair in report.interactions:
        names = escape(" and ".join(pair.parameters))
        out.print(
            f"• {names} matter together: {pair.importance:.0%} of the variance beyond both alone.", highlight=False
        )
    for note in report.notes:
        out.print(escape(note), highlight=False)


def _importance_table(report: ImportanceReport) -> Table:
    stage = f", stage {report.stage + 1}" if report.stage else ""
    fit = "" if report.fit is None else f", R² {report.fit:.2f} on trials left out"
    table = Table(title=f"{report.search}: {report.trials} trials{stage}{fit}", title_justify="left")
    table.add_column("hyperparameter")
    table.add_column("share of variance", justify="right")
    table.add_column("")
    table.add_column("trials")
    for row in report.parameters:
        bar = "█" * round(row.importance * _BAR_WIDTH)
        table.add_row(escape(row.parameter), f"{row.importance:.1%}", bar, escape(_support(row)))
    return table


def _support(row: ParameterInsight) -> str:
    """List the trials behind a row: of each choice, or of each part of the range."""
    return ", ".join(f"{group.value}: {group.trials}" for group in row.support)


def compare(
    search: SearchId,
    by: Annotated[str, typer.Option("--by", help="The hyperparameter whose choices are compared.")],
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Compare the choices of one hyperparameter, each with its nuisance parameters optimised."""
    comparison = connect(url, token, data_dir).compare(search, by)
    if as_json:
        print_json(comparison.model_dump(mode="json"))
        return
    out.print(_comparison_table(comparison))
    out.print(f"• {escape(comparison.sentence)}", highlight=False)


def _comparison_table(comparison: Comparison) -> Table:
    optimised = ", ".join(comparison.nuisance) or "nothing"
    title = f"{comparison.search}: {comparison.metric.name} by {comparison.by}; optimised for each: {optimised}"
    table = Table(title=title, title_justify="left")
    table.add_column(comparison.by)
    for heading in ("trials", "best", "± folds", "trial", f"best of {comparison.equal}", "80 % range"):
        table.add_column(heading, justify="right")
    for c in comparison.contenders:
        span = "–" if c.low is None or c.high is None else f"{score(c.low)} to {score(c.high)}"
        trial = "–" if c.best_trial is None else str(c.best_trial)
        table.add_row(
            escape(number(c.value)),
            str(c.trials),
            score(c.best),
            spread(c.spread, c.best),
            trial,
            score(c.expected),
            span,
        )
    return table
