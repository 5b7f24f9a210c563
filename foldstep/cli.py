"""The command line: every command is a function of `foldstep/commands/`, imported when it is called.

Exit codes: 0 done, 1 refused or not available, 2 wrong usage, 3 the search ended without a winner, a rerun came out
differently or a check failed, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

COMMANDS = {
    "demo": ("running", "Search for the best network on scikit-learn's digits, on this machine."),
    "fit": (
        "fitting",
        "Make a model file of a table: search in the default space for its size, and write the ensemble of the best.",
    ),
    "run": (
        "running",
        "Run a search on this machine: start a master and workers, search, and end. An unfinished search resumes.",
    ),
    "serve": (
        "serving",
        "Run the master: API, database, planner and page. Settings come from FOLDSTEP_* too (docs/settings.md).",
    ),
    "worker": ("serving", "Train the trials of a master. Needs only its address and token; ends cleanly on SIGTERM."),
    "submit": (
        "searching",
        "Submit a search to a master; the data file beside the spec is sent where the master does not have it.",
    ),
    "searches": ("searching", "List all searches."),
    "leaderboard": ("searching", "Show the ranking of a search and what the border check found."),
    "show": ("searching", "Show a search, or one of its trials."),
    "pause": ("searching", "Pause a search: trials in training continue to their end, no others begin."),
    "resume": ("searching", "Resume a paused search."),
    "enqueue": ("enqueueing", "Let a search try configurations of yours next; they count in its budget."),
    "extend": ("searching", "Give a search more trials or more time; a completed search continues."),
    "stop": ("searching", "End a search; its results are kept."),
    "data": (
        "data",
        "Report on a table: how each column is read, what becomes of it, and what is odd. Nothing is trained.",
    ),
    "delete": ("removing", "Delete a search with its trials and checkpoints, for good; asks before it does."),
    "check": (
        "checking",
        "Check a spec before it is searched: does training behave as it should? Exit code 3 where a check fails.",
    ),
    "rerun": (
        "rerunning",
        "Train one trial again, alone, on this machine's CPU; exit code 3 if the result differs in any bit.",
    ),
    "histograms": (
        "looking",
        "Train one trial again on this machine and show histograms of its activations and gradients, layer by layer.",
    ),
    "finalize": ("finalizing", "Make the final model of a search that is over, and score it once on the test part."),
    "importance": ("insight", "Show which hyperparameters matter, alone and together, with advice for each."),
    "compare": ("insight", "Compare the choices of one hyperparameter, each with its nuisance parameters optimised."),
    "features": (
        "insight",
        "Show which columns matter to a search's networks, by permutation on rows that they were not trained on.",
    ),
    "export": (
        "exporting",
        "Write a search for use elsewhere: its networks as a model, or its trials as a study of Optuna.",
    ),
    "predict": (
        "files",
        "Predict every row of a file, by the ensemble of a search, by a model file, or by the mean of checkpoints.",
    ),
    "recover": (
        "files",
        "Rebuild every search and its leaderboard from a folder of checkpoints alone; --into stores them for a master.",
    ),
    "backup": (
        "keeping",
        "Back up a master's database, checkpoints and data while it runs. The token is not in it.",
    ),
    "restore": (
        "keeping",
        "Make a new data folder of a backup; every file is checked. FOLDSTEP_DATABASE_URL may name an empty Postgres.",
    ),
    "upgrade": ("serving", "Migrate the database to this version. `serve` does so automatically."),
    "doctor": (
        "doctoring",
        "Look over this machine, the data folder and the master, running or not; say what is wrong and what to do.",
    ),
    "page": ("tokens", "Print a link that opens the page once, within an hour; it signs the browser in."),
    "tokens": ("tokens", "Tokens of the master: what each allows, and until when."),
    "datasets": ("datasets", "Data sets that the master knows."),
}
"""For each command the module of `foldstep/commands/` that has its function, and what `foldstep --help` says of it:
the function's first sentences, held equal by a test. Help is asked for often, and importing all commands takes long."""


class _Commands(Mapping[str, Any]):
    """The commands by name; each is imported when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        module, _ = COMMANDS[name]
        found = getattr(import_module(f"foldstep.commands.{module}"), name)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            alone.command(name)(found)
            found = alone
        command = get_command(found)
        command.name = name
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Group(TyperGroup):
    """The group of all commands, whose help imports none of them."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.commands = _Commands()  # type: ignore[assignment]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help from the table."""
        commands = self.commands
        self.commands = {name: TyperCommand(name, help=said) for name, (_, said) in COMMANDS.items()}
        try:
            super().format_help(ctx, formatter)
        finally:
            self.commands = commands


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no winner, other result, failed check, 130 interrupted.",
)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        from foldstep.service.contract.version import __version__

        typer.echo(f"foldstep {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", "-V", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Search hyperparameters of feed-forward networks on tabular data."""


def main() -> None:
    """Run the command line; a refusal is one sentence and an exit code, never a traceback."""
    try:
        app()
    except (Exception, KeyboardInterrupt) as error:
        from foldstep.options import exit_code_of

        sys.exit(exit_code_of(error))
