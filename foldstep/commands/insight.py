"""`importance` and `compare`: analyses of the hyperparameters of a search; `features`: of its columns."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from foldstep.committee import master_of
from foldstep.connect import DEFAULT_DIR, connect
from foldstep.display import number
from foldstep.options import Dir, Json, SearchId, Token, Url, out, print_json
from foldstep.service.contract.feature_report import FeatureCurve, FeatureReport
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


def features(
    search: SearchId,
    curves: Annotated[bool, typer.Option("--curves", help="Show the mean predictions by value, too.")] = False,
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Show which columns matter to a search's networks, by permutation on rows that they were not trained on."""
    with master_of(url, token, data_dir) as master:
        report = master.features(search)
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    metric, value = report.metric.name, score(report.score)
    out.print(f"{report.search}: {metric} {value} on out-of-fold rows; with a column permuted it is worse by",
              highlight=False, markup=False)  # fmt: skip
    out.print(_features_table(report))
    for feature in report.features:
        if curves and feature.curve is not None:
            out.print(f"Mean prediction by {feature.column}", highlight=False, markup=False)
            out.print(_curve_table(feature.column, feature.curve))
    for sentence in (report.chosen, *report.notes):
        out.print(escape(sentence), highlight=False)


def _features_table(report: FeatureReport) -> Table:
    table = Table("column")
    for heading in ("worse by", "±"):
        table.add_column(heading, justify="right")
    table.add_column("")
    greatest = max((feature.increase or 0.0 for feature in report.features), default=0.0)
    for feature in report.features:
        increase, deviation = feature.increase, feature.deviation
        length = 0.0 if increase is None or greatest <= 0 else max(increase, 0.0) / greatest
        table.add_row(
            escape(feature.column), score(increase), spread(deviation, increase), "█" * round(length * _BAR_WIDTH)
        )
    return table


def _curve_table(column: str, curve: FeatureCurve) -> Table:
    table = Table(escape(column))
    for name in curve.means:
        table.add_column(escape(name), justify="right")
    for i, value in enumerate(curve.values):
        table.add_row(escape(number(value)), *(score(means[i]) for means in curve.means.values()))
    return table
