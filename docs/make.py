"""Write the pages that come from the code: hyperparameters, states, settings, errors, commands.

A test holds them up to date. Run `python -m docs.make` after a change.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer.main
from pydantic_core import PydanticUndefined

from docs.prose import wrapped
from foldstep.cli import app
from foldstep.models.hyperparameters import REGISTRY
from foldstep.service.contract.errors import FoldstepError
from foldstep.service.contract.states import LEASE_TRANSITIONS, SEARCH_TRANSITIONS, TRIAL_TRANSITIONS, diagram
from foldstep.service.settings import PREFIX, Settings

FOLDER = Path(__file__).parent
_NOTE = "<!-- written by `python -m docs.make` -->\n\n"


def hyperparameters() -> str:
    """Write the table of hyperparameters."""
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
    lines += ["plain form. With `coarse_to_fine` the stages set the epochs. A regression's target is standardised."]
    return "\n".join(lines) + "\n"


def states() -> str:
    """Draw the states of a search, a trial and a lease."""
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
    """Write the table of the master's settings."""
    lines = ["# Settings of the master", "", "Each is read from the environment.", ""]
    lines += ["| variable | what it is | default |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default is PydanticUndefined or field.default in ("", ()) else f"`{field.default}`"
        lines.append(f"| `{PREFIX}{name.upper()}` | {field.description} | {default} |")
    return "\n".join(lines) + "\n"


def errors() -> str:
    """Write the table of the codes of all refusals."""
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
    """Write each command with its options."""
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
    "states.md": states,
    "settings.md": settings,
    "errors.md": errors,
    "commands.md": commands,
}


def page(name: str) -> str:
    """Write one page as it should be."""
    return _NOTE + wrapped(PAGES[name]())


if __name__ == "__main__":
    for page_name in PAGES:
        (FOLDER / page_name).write_text(page(page_name))
