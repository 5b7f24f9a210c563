"""The model card: where a model comes from, for people (Markdown) and programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from foldstep.client import Foldstep
from foldstep.committee import Chosen, Committee
from foldstep.display_answers import answers
from foldstep.models.checkpoint import read_facts, reading_facts
from foldstep.service.contract.dataset import DataReport
from foldstep.service.contract.errors import FoldstepError
from foldstep.service.contract.leaderboard import TrialView
from foldstep.service.contract.numbers import number, score
from foldstep.service.contract.states import TERMINAL_TRIAL, TrialState
from foldstep.service.contract.version import __version__

Card = dict[str, Any]
_FINDINGS = 20
"""Findings about the data that a card lists; of more it says how many there are."""


def card_of(master: Foldstep, chosen: Chosen, licence: str = "") -> Card:
    """Make the card of the networks with which a search predicts.

    Args:
        master: the search's; what only it knows is asked there.
        chosen: the networks.
        licence: under which the model is given away, as its user says; empty for nothing said.
    """
    search = chosen.search
    context = _context(chosen)
    return {
        "name": search.name,
        "search": search.id,
        "chosen": chosen.sentence,
        "refit": chosen.refit,
        "task": search.task,
        "target": context.get("target"),
        "metric": search.metric.model_dump(mode="json"),
        "baseline": search.baseline,
        "answers": answers(master, search),
        "test": _test(master, chosen),
        **chosen.adjustments.model_dump(mode="json"),
        "members": [_member(*pair) for pair in zip(chosen.committees, chosen.trials, strict=True)],
        "trials_searched": sum(n for state, n in search.counts.items() if _is_searched(state)),
        "borders": [finding.sentence for stage in search.stages for finding in stage.borders],
        "notes": search.notes,
        "data": _data(master, chosen, context),
        "fingerprint": search.fingerprint,
        "seed": context.get("seed"),
        "spec": master.spec(search.id),
        "versions": {"foldstep": __version__},
        "licence": licence,
    }


def _test(master: Foldstep, chosen: Chosen) -> Card | None:
    """Take the score on the test part, if these very networks were scored as the search's final model."""
    model = master.final(chosen.search.id).model
    if model is None or model.test is None:
        return None
    final = {tuple(member.checkpoints): member.weight for member in model.members}
    own = {tuple(file.name for file in one.checkpoints): one.weight for one in chosen.committees}
    if (model.refit, final) != (chosen.refit, own):
        return None
    adjustments = chosen.adjustments
    if (model.temperature, model.threshold) != (adjustments.temperature, adjustments.threshold):
        return None
    return {**model.test.model_dump(mode="json"), "sentences": model.sentences}


def _is_searched(state: TrialState) -> bool:
    return state in TERMINAL_TRIAL and state != TrialState.CANCELLED


def _context(chosen: Chosen) -> dict[str, Any]:
    """Take the learning problem from a checkpoint."""
    with reading_facts():
        return dict(read_facts(str(chosen.committees[0].checkpoints[0]))["context"])


def _member(committee: Committee, trial: TrialView) -> Card:
    return {
        "trial": trial.trial,
        "search": committee.search,
        "weight": committee.weight,
        "networks": len(committee.checkpoints),
        "rank": trial.rank,
        "score": trial.score,
        "spread": trial.spread,
        "folds": trial.folds,
        "epochs": trial.epochs,
        "params": dict(trial.params),
    }


def _data(master: Foldstep, chosen: Chosen, context: Mapping[str, Any]) -> Card:
    first = {"name": chosen.search.dataset, "rows": context.get("n_rows"), "columns": _read_columns(context)}
    try:
        return {**first, **_of_report(master.search_data(chosen.search.id))}
    except FoldstepError as error:  # the data may be gone, and a model is worth having without
        return {**first, "unreported": f"Only what the checkpoints say of the data is told here. {error.message}"}


def _read_columns(context: Mapping[str, Any]) -> list[Card]:
    """List the columns that a checkpoint names; those of earlier versions name none."""
    reading = context.get("reading") or {"columns": []}
    return [{"name": column["name"], "kind": column["kind"], "missing": None} for column in reading["columns"]]


def _of_report(report: DataReport) -> Card:
    findings = [*report.data.findings, *(report.target.findings if report.target else ())]
    return {
        "rows": report.data.n_rows,
        "columns": [{"name": c.name, "kind": c.kind, "missing": c.n_missing} for c in report.data.columns if c.is_used],
        "left_out": [column.name for column in report.data.columns if not column.is_used],
        "findings": [finding.sentence for finding in findings[:_FINDINGS]],
        "more_findings": max(0, len(findings) - _FINDINGS),
    }


def as_markdown(card: Mapping[str, Any]) -> str:
    """Write a card for people."""
    parts = [f"# {card['name']}", *_first(card), *_scores(card), *_of_data(card), *_of_search(card), *_end(card)]
    return "\n\n".join(parts) + "\n"


def _first(card: Mapping[str, Any]) -> Iterator[str]:
    yield str(card["chosen"])
    target = card["target"]
    yield _listed(
        {
            "predicts": ", ".join(target) if isinstance(target, list) else target,
            "task": card["task"],
            "licence": card["licence"] or "none is given",
        }
    )


def _scores(card: Mapping[str, Any]) -> Iterator[str]:
    baseline = "not known" if card["baseline"] is None else score(card["baseline"])
    yield "## Scores"
    metric = f"The metric is {card['metric']['name']}, on the validation rows of each fold."
    yield f"{metric} The constant answer has {baseline}."
    rows = ["| trial | weight | score | ± folds | folds |", "| --- | --- | --- | --- | --- |"]
    for one in card["members"]:
        spread = "" if one["spread"] is None else score(one["spread"])
        folds = ", ".join(_number(value) for value in one["folds"])
        rows.append(f"| {_trial(card, one)} | {number(one['weight'])} | {_number(one['score'])} | {spread} | {folds} |")
    yield "\n".join(rows)
    if card["answers"]:
        yield "\n".join(f"- {sentence}" for sentence in card["answers"])
    if card["refit"] is not None:
        yield (
            "These scores, and intervals, are those of the networks of the folds; the networks here were trained again "
            f"by {card['refit']}, on more of the rows."
        )
    if card["intervals"]:
        widths = ", ".join(f"±{number(width)} for {share}" for share, width in card["intervals"].items())
        yield f"Intervals that cover shares of the rows, from the errors on rows that were not trained on: {widths}."
    if card["temperature"] != 1:
        yield f"Probabilities are calibrated by a temperature of {number(card['temperature'])}."
    if card["threshold"] is not None:
        yield f"The second class is predicted where its probability is above {number(card['threshold'])}."
    if card["test"] is None:
        yield "The winner of a search was lucky, too: rows that it never saw give a fairer score."
    else:
        yield " ".join(card["test"]["sentences"])


def _trial(card: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    """Name a trial, with its search where it is of the one that trained the ensemble."""
    is_own = one["search"] in (None, card["search"], card["refit"])
    return str(one["trial"]) if is_own else f"{one['trial']} of {one['search']}"


def _number(value: float | None) -> str:
    return "none" if value is None else score(value)


def _of_data(card: Mapping[str, Any]) -> Iterator[str]:
    data = card["data"]
    yield "## Data"
    yield _listed({"data set": data["name"], "rows": data["rows"], "fingerprint": card["fingerprint"]})
    rows = ["| column | kind | missing |", "| --- | --- | --- |"]
    yield "\n".join(rows + [_row(column) for column in data["columns"]])
    if "unreported" in data:
        yield data["unreported"]
        return
    if data["left_out"]:
        yield f"Left out: {', '.join(data['left_out'])}."
    more = [f"{data['more_findings']:,} more findings."] if data["more_findings"] else []
    if data["findings"]:
        yield "\n".join(f"- {sentence}" for sentence in [*data["findings"], *more])


def _row(column: Mapping[str, Any]) -> str:
    missing = "not known" if column["missing"] is None else column["missing"]
    return f"| {_cell(column['name'])} | {column['kind']} | {missing} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _of_search(card: Mapping[str, Any]) -> Iterator[str]:
    yield "## Search"
    yield _listed({"search": card["search"], "trials": card["trials_searched"], "seed": card["seed"]})
    sentences = [*card["borders"], *card["notes"]]
    if sentences:
        yield "\n".join(f"- {sentence}" for sentence in sentences)
    for one in card["members"]:
        params = ", ".join(f"{name} {value}" for name, value in one["params"].items())
        yield f"Trial {_trial(card, one)}: {params}."
    yield "The spec:"
    yield f"```json\n{json.dumps(card['spec'], indent=1, ensure_ascii=False)}\n```"


def _end(card: Mapping[str, Any]) -> Iterator[str]:
    yield "## Versions"
    yield _listed(card["versions"])


def _listed(values: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in values.items())
