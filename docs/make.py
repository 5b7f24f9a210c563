"""Write the pages made from the code: hyperparameters, methods, metrics, states, settings, errors, commands.

A test checks that they are up to date. Run `python -m docs.make` after a change.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import typer.main
from pydantic_core import PydanticUndefined

from docs.prose import wrapped
from foldstep.cli import app
from foldstep.models.catalog.hyperparameters import REGISTRY
from foldstep.models.catalog.metrics import METRICS, metrics_of, metrics_of_numbers
from foldstep.models.catalog.tasks import LEAST_IN_WORDS, Task
from foldstep.service.contract.defaults import BATCHES, EFFORTS, PRESET, Size
from foldstep.service.contract.errors import FoldstepError
from foldstep.service.contract.expansion import in_words, sets
from foldstep.service.contract.methods import METHODS, SearchMethod, staged_methods
from foldstep.service.contract.presets import PRESETS
from foldstep.service.contract.states import LEASE_TRANSITIONS, SEARCH_TRANSITIONS, TRIAL_TRANSITIONS, diagram
from foldstep.service.settings import PREFIX, Settings

FOLDER = Path(__file__).parent
_NOTE = "<!-- written by `python -m docs.make` -->\n\n"


def hyperparameters() -> str:
    """Write the page of hyperparameters as a table."""
    lines = ["# Hyperparameters", "", "Each can be fixed, listed, or drawn from a range.", ""]
    lines += ["| name | what it is | values | default |", "| --- | --- | --- | --- |"]
    for row in REGISTRY.values():
        name = f"`{row.name}`" + (f", `{row.name}_1` …" if row.per_layer else "")
        default = "–" if row.default is None else f"`{row.default}`"
        lines.append(f"| {name} | {row.meaning} | {row.domain} | {default} |")
    lines += [
        "",
        "`width_1`, `activation_2`, `dropout_1` are for single hidden layers, the first being 1; they go before the",
    ]
    staged = " and ".join(f"`{name}`" for name in staged_methods())
    lines += [f"plain form. With {staged} the stages set the epochs. A regression's target is standardised."]
    return "\n".join(lines) + "\n"


def presets() -> str:
    """Write the page of presets."""
    lines = ["# Presets", "", "`parameters: {preset: realmlp}` sets what has proven itself elsewhere; what else is"]
    lines += ["written under `parameters` wins, and a note says so. A space is searched, the others are one trial."]
    lines += _default_space()
    for name, preset in PRESETS.items():
        lines += [
            "",
            f"## `{name}`",
            "",
            f"{preset.meaning[0].upper()}{preset.meaning[1:]}.",
            "",
            preset.source + ".",
            "",
        ]
        lines += ["| parameter | value |", "| --- | --- |", *map("| `{}` | {} |".format, *_settings_of(name))]
        if preset.around:
            lines += ["", f"The first trial of a search has the settings of `{preset.around}`, as far as the space has"]
            lines += ["them; with a `grid`, whose trials have an order of their own, not."]
        if preset.unlike:
            lines += ["", f"Unlike what is published: {'; '.join(preset.unlike)}."]
    return "\n".join(lines) + "\n"


def _default_space() -> list[str]:
    """Write what a spec without parameters has, by the rows of its table."""
    lines = ["", "## Without parameters", "", f"A spec without `parameters` has the space `{PRESET}`, and beside it:"]
    lines += [*_by_rows("rows outside of the test part, for a search of two minutes", EFFORTS)]
    lines += ["", "In twice the time the first column is for twice the rows, and so on. Whatever the time:"]
    return [*lines, *_by_rows("rows outside of the test part", BATCHES)]


def _by_rows(head: str, sizes: Sequence[Size]) -> list[str]:
    lines = ["", f"| {head} | beside it |", "| --- | --- |"]
    for size in sizes:
        values = "; ".join(f"`{name}` {_listed(value)}" for name, value in size.parameters.items())
        lines.append(f"| {'more' if size.up_to is None else f'up to {size.up_to:,}'} | {values} |")
    return lines


def _listed(value: Any) -> str:
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)


def _settings_of(preset: str) -> tuple[list[str], list[str]]:
    """List the parameters that a preset sets, and their values; where tasks differ, each with its own."""
    of_task = {task: {n: in_words(d) for n, d in sets(preset, task).items()} for task in get_args(Task)}
    names = list(dict.fromkeys(name for values in of_task.values() for name in values))
    told = []
    for name in names:
        values = {task: words[name] for task, words in of_task.items() if name in words}
        is_same = len(values) == len(of_task) and len(set(values.values())) == 1
        told.append(next(iter(values.values())) if is_same else "; ".join(f"{t}: {v}" for t, v in values.items()))
    return names, told


def methods() -> str:
    """Write the page of search methods."""
    lines = ["# Methods", "", "How a search chooses what to train; `docs/spec.md` says what each can be told.", ""]
    lines += ["| name | what it does | how |", "| --- | --- | --- |"]
    for method in METHODS.values():
        lines.append(f"| `{method.name}` | {method.meaning} | {'; '.join(_traits(method))} |")
    return "\n".join(lines) + "\n"


def _traits(method: SearchMethod) -> list[str]:
    told = {
        "learns from results, in batches": method.learns,
        "each trial depends on the seed and its number alone": not (method.learns or method.is_staged),
        "has stages": method.is_staged,
        "needs lists or steps": method.enumerates,
        "no configuration twice": method.never_repeats,
        "no configuration twice where the space has at most 10,000 points": method.redraws,
    }
    return [trait for trait, holds in told.items() if holds]


_OVER_TARGETS = {
    "regression": (f"Of several targets the mean over them: {', '.join(metrics_of_numbers())}; the first is then the "
                   "default.", ""),
    "multilabel": ("Of each label by itself, with its second value as the second class; the score is the mean over the "
                   "labels.", ""),
}  # fmt: skip
"""What is said of the metrics of several targets, by task."""


def metrics() -> str:
    """Write the page of metrics, by task."""
    lines = ["# Metrics", "", "What trials are ranked by; a score is the mean over the folds.", ""]
    for task in get_args(Task):
        lines += [
            f"## {task.capitalize()}",
            "",
            *_OVER_TARGETS.get(task, ()),
            "| name | what it is | better | |",
            "| --- | --- | --- | --- |",
        ]
        for place, name in enumerate(metrics_of(task)):
            metric = METRICS[name]
            notes = ["the default"] if place == 0 else []
            if metric.over_classes and task == "classification":
                notes.append(f"for more than two classes the mean of {metric.over_classes}")
            notes += [f"needs a target {LEAST_IN_WORDS[metric.least_target]}"] if metric.least_target != "any" else []
            notes += ["needs classes that are numbers"] if metric.has_order else []
            notes += [f"needs more than {metric.within} classes"] if metric.within > 1 else []
            differ = "two values" if task == "regression" else "two classes"
            notes += [f"needs {differ} in each validation part"] if metric.needs_two_values else []
            better = "greater" if metric.direction.is_better(1.0, than=0.0) else "smaller"
            lines.append(f"| `{name}` | {metric.meaning} | {better} | {'; '.join(notes)} |")
        lines.append("")
    return "\n".join(lines)


def states() -> str:
    """Write the page of the state machines of a search, a trial and a lease."""
    parts = ["# States", "", "Every change of state is one of these; anything else is refused.", ""]
    diagrams = {
        "A search": diagram(SEARCH_TRANSITIONS),
        "A trial": diagram(TRIAL_TRANSITIONS),
        "A lease": diagram(LEASE_TRANSITIONS),
    }
    for title, drawn in diagrams.items():
        parts += [f"## {title}", "", "```mermaid", drawn, "```", ""]
    return "\n".join(parts)


def settings() -> str:
    """Write the page of the master's settings as a table."""
    lines = ["# Settings of the master", "", "Each is read from the environment.", ""]
    lines += ["| variable | what it is | default |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is PydanticUndefined or field.default in ("", ()) else f"`{field.default}`"
        lines.append(f"| `{PREFIX}{name.upper()}` | {field.description} | {default} |")
    return "\n".join(lines) + "\n"


def errors() -> str:
    """Write the page of all error codes as a table."""
    lines = [
        "# Errors",
        "",
        "Problems over HTTP are `application/problem+json` with one of these in `code`. Where single",
    ]
    lines += [
        "faults are known they stand in `faults`, each with a `code`, a `path`, what was expected and what was there.",
        "",
    ]
    lines += ["| code | what it means |", "| --- | --- |"]
    for error in _tree(FoldstepError):
        lines.append(f"| `{error.code}` | {(inspect.getdoc(error) or '').splitlines()[0]} |")
    return "\n".join(lines) + "\n"


def _tree(error: type[FoldstepError]) -> list[type[FoldstepError]]:
    return [error, *(e for child in error.__subclasses__() for e in _tree(child))]


def commands() -> str:
    """Write the page of all commands with their options."""
    root: Any = typer.main.get_command(app)
    lines = ["# Commands", "", root.epilog or "", "", *_options(root), ""]
    for name, command in root.commands.items():
        subcommands = getattr(command, "commands", {})
        for words, single in (
            [(name, command)] if not subcommands else [(f"{name} {n}", c) for n, c in subcommands.items()]
        ):
            lines += _command(words, single)
    return "\n".join(lines)


def _command(words: str, command: Any) -> list[str]:
    context = command.make_context(words, [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    lines = [f"## foldstep {words}", "", (command.help or "").split("\n\n")[0], "", f"`foldstep {words} {usage}`", ""]
    return [*lines, *_options(command), ""]


def _options(command: Any) -> list[str]:
    lines = []
    for parameter in command.params:
        text = getattr(parameter, "help", None)
        if text and not getattr(parameter, "hidden", False) and parameter.name != "help":
            is_option = parameter.opts[0].startswith("-")
            label = " / ".join(parameter.opts) if is_option else (parameter.metavar or parameter.name.upper())
            lines.append(f"- `{label}`: {text}")
    return lines


PAGES: dict[str, Callable[[], str]] = {
    "hyperparameters.md": hyperparameters,
    "presets.md": presets,
    "methods.md": methods,
    "metrics.md": metrics,
    "states.md": states,
    "settings.md": settings,
    "errors.md": errors,
    "commands.md": commands,
}


def page(name: str) -> str:
    """Write one page in full: the note, and the wrapped text."""
    return _NOTE + wrapped(PAGES[name]())


if __name__ == "__main__":
    for page_name in PAGES:
        (FOLDER / page_name).write_text(page(page_name))
