"""The figures on the page of benchmarks are those of the files that it names."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from docs.make import FOLDER

TEXT = (FOLDER / "benchmarks.md").read_text()
RESULTS = FOLDER.parent / "benchmarks" / "results"


def read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def rows(name: str) -> list[str]:
    """List the lines of tables that name a file."""
    found = [line for line in TEXT.splitlines() if line.startswith("|") and f"results/{name}.json)" in line]
    assert found, f"no row names {name}.json"
    return found


def value(what: str) -> float:
    (found,) = (row["value"] for row in read("service")["rows"] if row["what"].startswith(what))
    return float(found)


def ratio(space: str, side: str) -> float:
    times = {(r["space"], r["side"]): r["seconds"] for r in read("whole_search")["rows"]}
    return float(times[space, side] / times[space, "foldstep, float32"])


def seconds(space: str, side: str) -> float:
    (found,) = (r["seconds"] for r in read("whole_search")["rows"] if (r["space"], r["side"]) == (space, side))
    return float(found)


def regret(side: str, method: str) -> str:
    found = next(r["100"] for r in read("search_table")["rows"] if (r["side"], r["method"]) == (side, method))
    return f"{float(found.split()[0]):.4f}"


def costs(epochs: int) -> str:
    found = [r["cost_percent"] for r in read("diagnostics")["rows"] if r["epochs"] == epochs]
    return f"{min(found):.1f} to {max(found):.1f} %"


FIGURES = {
    "throughput": [", ".join(f"{r['ratio']:.2g} ×" for r in read("throughput")["rows"])],
    "roofline": [f"{read('roofline')['rows'][-1][f'share_of_{part}']:.0%}" for part in ("steps", "whole")],
    "mixed": [f"{next(r['ratio'] for r in read('mixed')['rows'] if r['step'] == 'compiled')} ×"],
    "whole_search": [
        f"{ratio('small', 'scikit-learn'):.1f} ×", f"{ratio('mixed', 'optuna'):.1f} ×",
        *(f"{seconds('small', side)}" for side in ("foldstep, float32", "scikit-learn", "optuna", "skorch")),
        *(f"{seconds('mixed', side)}" for side in ("foldstep, float32", "foldstep, bfloat16", "optuna")),
    ],
    "service": [
        f"{value('wall time of 10000'):.0f} s", f"{value('master: CPU share'):.0f} %",
        f"{value('worker: start'):.1f} s", f"{value('master: start'):.1f} s", f"{value('master: most'):.0f} MiB",
    ],
    "members": [
        f"{r['us']:.{1 if r['us'] < 20 else 0}f}" for r in read("members")["rows"] if r["members"] in (10, 10_000)
    ],
    "diagnostics": [costs(30), costs(4)],
    "proposals": [
        ", ".join(
            f"{next(r['ms'] for r in read('proposals')['rows'] if (r['method'], r['history']) == (m, 10_000)):.1f}"
            for m in ("tpe", "gp", "cmaes", "forest")
        )
    ],
    "search_table": [
        ", ".join(regret("foldstep", m) for m in ("tpe", "gp", "cmaes")),
        ", ".join(regret("optuna", m) for m in ("tpe", "gp", "cmaes")),
        f"{regret('foldstep', 'tpe')} to {regret('foldstep', 'random')}",
    ],
    "fcnet": [f"{read('fcnet')['rows'][0]['spearman']:.3f}, {read('fcnet')['rows'][0]['ratio']:.2f}"],
    "datasets": [
        ", ".join(r["data"] for r in read("datasets")["rows"] if r["beats"]).replace("bike", "bike (the third try)")
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "figure"), [(name, figure) for name, figures in FIGURES.items() for figure in figures]
)
def test_figure_is_that_of_the_file(name: str, figure: str) -> None:
    shown = [row.replace(" %", "%") for row in rows(name)]
    assert any(re.search(rf"(?<![\d.]){re.escape(figure.replace(' %', '%'))}", row) for row in shown), shown


@pytest.mark.parametrize("data", ["concrete", "phoneme", "parkinsons"])
def test_search_of_a_minute_is_as_it_was_measured(data: str) -> None:
    measured = [row for row in read("search")["rows"] if row["data"] == data]
    assert [row["side"] for row in measured] == ["foldstep tpe", "optuna", "scikit-learn"]
    digits = 3 if measured[0]["metric"] == "accuracy" else 2
    score, unseen = (" | ".join(f"{row[of]:.{digits}f}" for row in measured) for of in ("validation", "test"))
    assert f"| {data}, {measured[0]['metric']} | best cross-validated score | {score} |" in TEXT
    assert f"| rows that nobody had seen | {unseen} |" in TEXT


def test_early_stopping_saves_what_was_measured() -> None:
    text = (FOLDER / "early-stopping.md").read_text()
    for words, way in (("rungs with racing", "asha and racing"), ("rungs alone", "asha"), ("racing alone", "racing")):
        measured = [row for row in read("stopping")["rows"] if row["way"] == way]
        least, most = (f"{100 * of(row['epochs_share'] for row in measured):.0f}" for of in (min, max))
        found = sum(int(row["same_winner"].split()[0]) for row in measured)
        (line,) = (line for line in text.splitlines() if line.startswith(f"| {words} "))
        assert f"| {least} to {most} % | in {found} of 15" in line.replace(" cases", "")


def test_what_became_of_the_searches_under_random_kills() -> None:
    measured = {row["what"]: row["value"] for row in read("chaos")["rows"]}
    n_kills = sum(n for what, n in measured.items() if what.startswith("kills of"))
    differ, failed = measured["trials that differ from the undisturbed ones"], measured["trials that failed"]
    words = f"{n_kills} kills, {measured['searches that ended by themselves']} searches, {measured['trials']:,} trials"
    (row,) = rows("chaos")
    assert f"{words}: {differ} differ, {failed} failed" in row
    assert row.startswith(f"| {measured['minutes of kills']:.0f} minutes")
