"""`foldstep.warm_start_from`: configurations from elsewhere, the best first, for the `warm_start` of a spec."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from os import fspath
from pathlib import Path
from typing import Any

from foldstep.configurations import left_out_note, read_configurations, split_rows
from foldstep.models.catalog.hyperparameters import lookup
from foldstep.models.catalog.metrics import METRICS, Direction
from foldstep.options import no_file
from foldstep.service.contract.errors import Fault, InvalidInput
from foldstep.service.contract.names import listed

MOST = 1000
"""Configurations that a spec may have."""
_SCORE = "score"
_RENAMED = "names={'theirs': 'lr'} renames them"


def warm_start_from(
    source: Any, study: str | None = None, *, metric: str | None = None, names: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Read configurations from elsewhere for the `warm_start` of a spec, the best first.

    What is left out is told by a `UserWarning`.

    Args:
        source: a file with a column for each hyperparameter and one with the score; a study of Optuna; or the URL of a
            storage of Optuna, as `sqlite:///study.db`.
        study: the name of the study in a storage; where there is one only, it may be left out.
        metric: of a file: the metric that its column `score`, or the column of that name, has.
        names: names of the source for hyperparameters, to their names in a spec.

    Raises:
        InvalidInput: the source cannot be read, or has no configurations.
    """
    if _is_study(source):
        found, notes = _of_study(source, names or {})
    elif isinstance(source, str) and "://" in source:
        found, notes = _of_study(_loaded(source, study), names or {})
    else:
        found, notes = best_first(Path(fspath(source)), metric, names)
    for note in notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    return {"configurations": found}


def with_warm_start(spec: dict[str, Any], path: Path) -> tuple[dict[str, Any], list[str]]:
    """Let a spec begin with the configurations of a file; also return what was left out, one sentence each.

    Raises:
        InvalidInput: the spec has a `warm_start` already, or the file cannot be used.
    """
    if "warm_start" in spec:
        fault = Fault(code="contradiction", path="warm_start", expected="one of the option and the key", got="both")
        raise InvalidInput(f"The spec says what it begins with: {fault}; leave one of them out.", faults=[fault])
    said = spec.get("metric")
    metric = said.get("name") if isinstance(said, Mapping) else said
    found, notes = best_first(path, metric if metric in METRICS else None)
    return {**spec, "warm_start": {"configurations": found}}, notes


def best_first(
    path: Path, metric: str | None = None, names: Mapping[str, str] | None = None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Read the configurations of a file, the best first.

    Args:
        path: of a CSV, YAML or JSON file.
        metric: the metric of its scores, if it is known.
        names: of the file for hyperparameters, to their names in a spec.

    Returns:
        The configurations, and what was left out, one sentence each.

    Raises:
        InvalidInput: the file has scores, and nobody says of which metric.
    """
    read = read_configurations(path, names)
    column = _score_column(read.others, metric)
    if column is None:
        notes = [f"{path.name} has no column score or {metric or 'of a metric'}: its order is taken, the best first."]
        return _cut(read.rows, [*notes, *left_out_note(read.others)])
    direction = METRICS[column if metric is None else metric].direction
    scored = [(_number(other.get(column)), row) for row, other in zip(read.rows, read.others, strict=True)]
    return _ranked(scored, direction, left_out_note(read.others, _USED | {column}))


_USED = frozenset({_SCORE, "rank", "trial", "state", "spread", "epoch", "n_parameters", "duration_s"})
"""Names of a leaderboard that are no hyperparameters, and that nobody has to be told of."""


def _score_column(others: Sequence[Mapping[str, Any]], metric: str | None) -> str | None:
    """Find the column with the scores; None where there is none."""
    there = dict.fromkeys(name for row in others for name in row)
    if metric is not None and metric not in METRICS:
        fault = Fault(code="out_of_domain", path="metric", expected=f"one of {', '.join(METRICS)}", got=metric)
        raise InvalidInput(f"The metric is not known: {fault}.", faults=[fault])
    for name in (metric, _SCORE) if metric is not None else [name for name in there if name in METRICS]:
        if name in there:
            return name
    if _SCORE in there:
        fault = Fault(code="missing", path="metric", expected="the metric of the column score")
        raise InvalidInput(
            f"Nobody says whether more or less is better: {fault}; set metric, or name the column after it.",
            faults=[fault],
        )
    return None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _ranked(
    scored: Sequence[tuple[float | None, dict[str, Any]]], direction: Direction, notes: list[str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Order configurations by their scores; those without one are left out."""
    known = [(direction.loss_of(score), row) for score, row in scored if score is not None]
    if len(known) < len(scored):
        notes = [*notes, f"{len(scored) - len(known)} of {len(scored)} configurations have no score and are left out."]
    return _cut([row for _, row in sorted(known, key=lambda one: one[0])], notes)


def _cut(rows: list[dict[str, Any]], notes: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    if not rows:
        fault = Fault(code="no_configurations", path="warm_start", expected="configurations with scores", got="none")
        raise InvalidInput(f"There is nothing to begin with: {fault}.", faults=[fault])
    if len(rows) > MOST:
        notes = [*notes, f"The best {MOST} of {len(rows)} configurations are taken, the most that a spec may have."]
    return rows[:MOST], notes


# -- Optuna -----------------------------------------------------------------------------------------------------------


_FILE = "sqlite:///"


def _is_study(source: Any) -> bool:
    return hasattr(source, "trials") and hasattr(source, "directions")


def _loaded(storage: str, name: str | None) -> Any:
    """Load a study.

    Raises:
        InvalidInput: Optuna or the study is missing, or the storage cannot be read.
    """
    try:
        import optuna
    except ImportError:
        fault = Fault(code="missing_package", path="source", expected="the package optuna", got="none")
        raise InvalidInput(f"A study needs Optuna: {fault}; pip install optuna.", faults=[fault]) from None
    from foldstep.optuna_study import named_faults

    if storage.startswith(_FILE) and not Path(storage.removeprefix(_FILE)).exists():
        raise no_file(Path(storage.removeprefix(_FILE)))  # Optuna would make an empty one
    with named_faults(name or "", storage, "read"):
        there = optuna.get_all_study_names(storage)
        if name is None and len(there) == 1:
            name = there[0]
        if name not in there:
            fault = Fault(
                code="unknown_study", path="study", expected=f"one of {listed(there) or 'none'}", got=str(name)
            )
            raise InvalidInput(f"{storage} has no such study: {fault}.", faults=[fault])
        return optuna.load_study(study_name=name, storage=storage)


def _of_study(study: Any, names: Mapping[str, str]) -> tuple[list[dict[str, Any]], list[str]]:
    if len(study.directions) != 1:
        fault = Fault(code="several_objectives", path="study", expected="one objective", got=str(len(study.directions)))
        raise InvalidInput(f"The study has no order: {fault}.", faults=[fault])
    ended = [trial for trial in study.trials if trial.value is not None and trial.state.name == "COMPLETE"]
    read = split_rows([{names.get(name, name): value for name, value in trial.params.items()} for trial in ended])
    direction = Direction(study.direction.name.lower())
    scored = [(_number(trial.value), row) for trial, row in zip(ended, read.rows, strict=True)]
    notes = left_out_note(read.others, hint=_RENAMED)
    n_other = len(study.trials) - len(ended)
    if n_other:
        notes.append(f"{n_other} of {len(study.trials)} trials of the study have not ended with a value.")
    if not any(read.rows):
        raise InvalidInput(_no_names(ended, names))
    return _ranked(scored, direction, notes)


def _no_names(ended: Sequence[Any], names: Mapping[str, str]) -> str:
    if not ended:
        return "The study has no trial that ended with a value."
    theirs = dict.fromkeys(name for trial in ended for name in trial.params if lookup(names.get(name, name)) is None)
    return f"No parameter of the study is a hyperparameter of Foldstep: {listed(list(theirs))}; {_RENAMED}."
