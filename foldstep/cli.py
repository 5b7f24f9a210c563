"""The command line: every command is a function of `foldstep/commands/`.

Exit codes: 0 done, 1 refused or not available, 2 wrong usage, 3 the search ended without a winner, a rerun came out
differently or a check failed, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from foldstep.commands import (
    checking,
    data,
    datasets,
    exporting,
    files,
    insight,
    looking,
    removing,
    rerunning,
    running,
    searching,
    serving,
)
from foldstep.options import INTERRUPTED, REFUSED, close_standard_output, out, show_error
from foldstep.service.contract.errors import FoldstepError
from foldstep.service.contract.version import __version__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 refused, 2 wrong usage, 3 no winner, other result, failed check, 130 interrupted.",
)
COMMANDS = (
    running.demo,
    running.run,
    serving.serve,
    serving.worker,
    searching.submit,
    searching.searches,
    searching.leaderboard,
    searching.show,
    searching.pause,
    searching.resume,
    searching.extend,
    searching.stop,
    data.data,
    removing.delete,
    checking.check,
    rerunning.rerun,
    looking.histograms,
    insight.importance,
    insight.compare,
    exporting.export,
    files.predict,
    files.recover,
    serving.upgrade,
    serving.doctor,
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(datasets.group, name="datasets")


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        out.print(f"foldstep {__version__}", highlight=False)
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
    except FoldstepError as error:
        show_error(error)
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        close_standard_output()
        sys.exit(REFUSED)
