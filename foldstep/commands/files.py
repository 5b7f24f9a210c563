"""`predict` and `recover`: uses of checkpoints; of files, they need no master."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from foldstep import display
from foldstep.client import Foldstep
from foldstep.committee import as_files, master_of, search_committees
from foldstep.connect import DEFAULT_DIR
from foldstep.options import Dir, Json, Token, Url, err, out, print_json
from foldstep.prediction_files import check_output, input_file, write_csv, write_file
from foldstep.service.contract.errors import InvalidInput
from foldstep.service.contract.numbers import score
from foldstep.service.folder import keep_private

if TYPE_CHECKING:
    from foldstep.ensemble import Ensemble
    from foldstep.recovery import Found

Models = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="A model file, checkpoint files, or one search: its name or id.")
]
InputFile = Annotated[
    str,
    typer.Argument(
        metavar="FILE", help="CSV or Parquet file with the columns of the training data; - for standard input."
    ),
]
Ids = Annotated[
    list[str] | None, typer.Option("--id", metavar="COLUMN", help="Carry this column through; may be repeated.")
]
Weighted = Annotated[
    bool, typer.Option("--weighted", help="Leave probabilities as class weights in training have shifted them.")
]
Uncalibrated = Annotated[
    bool, typer.Option("--uncalibrated", help="Leave probabilities without the ensemble's temperature.")
]
Interval = Annotated[
    float | None,
    typer.Option("--interval", metavar="SHARE", help="Add the ends of intervals that cover this share of rows: 0.9."),
]
Output = Annotated[
    Path | None,
    typer.Option("--out", metavar="OUT", help="Write this file, .csv or .parquet, instead of printing CSV."),
]


def predict(  # Long: one option a line
    models: Models,
    file: InputFile,
    proba: Annotated[bool, typer.Option("--proba", help="Class probabilities instead of classes.")] = False,
    weighted: Weighted = False,
    uncalibrated: Uncalibrated = False,
    interval: Interval = None,
    ids: Ids = None,
    output: Output = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --out where it exists.")] = False,
    trial: Annotated[
        int | None, typer.Option("--trial", help="This trial of the search alone, not its ensemble.")
    ] = None,
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
) -> None:
    """Predict every row of a file, by the ensemble of a search, by a model file, or by the mean of checkpoints."""
    if (weighted or uncalibrated) and not proba:
        option = "--weighted" if weighted else "--uncalibrated"
        raise InvalidInput(f"{option} is about probabilities: give --proba with it.")
    if output is not None:
        check_output(output, force=force)
    elif force:
        raise InvalidInput("--force replaces the file of --out: give --out with it.")
    with ExitStack() as stack:
        table = stack.enter_context(input_file(file))
        ensemble = _ensemble(stack, models, trial, partial(master_of, url, token, data_dir))
        from foldstep.prediction import predict_file

        predicted = predict_file(
            ensemble, table, proba=proba, weighted=weighted, uncalibrated=uncalibrated, ids=ids or [], interval=interval
        )
    _deliver(predicted.columns, output)
    for note in predicted.notes:
        err.print(note, highlight=False, markup=False, soft_wrap=True)


def _ensemble(
    stack: ExitStack, models: list[str], trial: int | None, master: Callable[[], AbstractContextManager[Foldstep]]
) -> Ensemble:
    paths = as_files(models)
    if paths is not None and trial is not None:
        raise InvalidInput("--trial picks a trial of a search, and files are named: leave one out.")
    if paths is not None:
        from foldstep.model_file import ensemble_in

        return ensemble_in(paths)
    chosen = stack.enter_context(search_committees(stack.enter_context(master()), models[0], trial))
    err.print(f"Predicted with {chosen.words}.", highlight=False, markup=False, soft_wrap=True)
    from foldstep.ensemble import Ensemble

    return Ensemble.load(chosen.committees, chosen.adjustments)


def _deliver(columns: dict[str, list[Any]], output: Path | None) -> None:
    if output is None:
        write_csv(sys.stdout, columns)
        return
    write_file(output, columns)
    n_rows = len(next(iter(columns.values())))
    err.print(f"{n_rows:,} {'row' if n_rows == 1 else 'rows'} in {output}.", highlight=False, markup=False)


def recover(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of checkpoints, searched with its subfolders.")],
    into: Annotated[
        Path | None, typer.Option("--into", metavar="NEW", help="Make a new data folder with these searches.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Rebuild every search and its leaderboard from a folder of checkpoints alone; --into stores them for a master."""
    from foldstep.recovery import find_checkpoints, leaderboard

    keep_private()
    if not folder.is_dir():
        raise InvalidInput(f"There is no folder {folder}.")
    found = find_checkpoints(folder)
    left_out = _rebuilt(found, into) if into is not None else []
    rows = {search: leaderboard(found, search) for search in found.facts}
    if as_json:
        print_json({"searches": rows, "damaged": found.damaged})
        return
    for search, its_rows in rows.items():
        out.print(_table(search, its_rows))
    for name in found.damaged:
        out.print(f"Left out, damaged: {name}", markup=False)
    for name in left_out:
        out.print(f"Not stored, since its checkpoints do not say enough: {name}", markup=False)
    if not rows:
        out.print(f"There are no checkpoints in {folder}.")
    elif into is not None:
        out.print(f"Stored. Start it: foldstep serve --dir {into}", markup=False, highlight=False)


def _rebuilt(found: Found, into: Path) -> list[str]:
    from foldstep.recovery import rebuild_searches
    from foldstep.service.settings import settings_from_environment

    return rebuild_searches(found, settings_from_environment({**os.environ, "FOLDSTEP_DATA_DIR": str(into)}))


def _table(search: str, rows: list[dict[str, Any]]) -> Table:
    table = Table("rank", "trial", "score", "hyperparameters", title=search, title_justify="left")
    for row in rows:
        params = ", ".join(f"{k} {display.number(v)}" for k, v in row["params"].items())
        table.add_row(str(row["rank"]), str(row["trial"]), score(row["score"]), params)
    return table
