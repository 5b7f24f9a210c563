"""`predict` and `recover`: uses of checkpoints; of files, they need no master."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from foldstep import display
from foldstep.client import Foldstep
from foldstep.committee import as_files, master_of, trial_checkpoints
from foldstep.connect import DEFAULT_DIR
from foldstep.options import Dir, Json, Token, Url, err, out, print_json
from foldstep.prediction_files import check_output, input_file, write_csv, write_file
from foldstep.service.contract.errors import InvalidInput
from foldstep.service.contract.numbers import score

Models = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="Checkpoint files, or one search: its name or id.")
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
Output = Annotated[
    Path | None,
    typer.Option("--out", metavar="OUT", help="Write this file, .csv or .parquet, instead of printing CSV."),
]


def predict(  # Long: one option a line
    models: Models,
    file: InputFile,
    proba: Annotated[bool, typer.Option("--proba", help="Class probabilities instead of classes.")] = False,
    weighted: Weighted = False,
    ids: Ids = None,
    output: Output = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --out where it exists.")] = False,
    trial: Annotated[int | None, typer.Option("--trial", help="Trial of the search; the best when left out.")] = None,
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
) -> None:
    """Predict every row of a file; several checkpoints, as those of a search's best trial, predict by their mean."""
    if weighted and not proba:
        raise InvalidInput("--weighted is about probabilities: give --proba with it.")
    if output is not None:
        check_output(output, force=force)
    elif force:
        raise InvalidInput("--force replaces the file of --out: give --out with it.")
    with ExitStack() as stack:
        table = stack.enter_context(input_file(file))
        checkpoints = _checkpoints(stack, models, trial, partial(master_of, url, token, data_dir))
        from foldstep.prediction import predict_file

        predicted = predict_file(checkpoints, table, proba=proba, weighted=weighted, ids=ids or [])
    _deliver(predicted.columns, output)
    for note in predicted.notes:
        err.print(note, highlight=False, markup=False, soft_wrap=True)


def _checkpoints(
    stack: ExitStack, models: list[str], trial: int | None, master: Callable[[], AbstractContextManager[Foldstep]]
) -> list[Path]:
    paths = as_files(models)
    if paths is not None:
        if trial is not None:
            raise InvalidInput("--trial picks a trial of a search, and checkpoint files are named: leave one out.")
        return paths
    paths, sentence = stack.enter_context(trial_checkpoints(stack.enter_context(master()), models[0], trial))
    err.print(sentence, highlight=False, markup=False, soft_wrap=True)
    return paths


def _deliver(columns: dict[str, list[Any]], output: Path | None) -> None:
    if output is None:
        write_csv(sys.stdout, columns)
        return
    write_file(output, columns)
    n_rows = len(next(iter(columns.values())))
    err.print(f"{n_rows:,} {'row' if n_rows == 1 else 'rows'} in {output}.", highlight=False, markup=False)


def recover(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of checkpoints, searched with its subfolders.")],
    as_json: Json = False,
) -> None:
    """Rebuild the leaderboard of every search from a folder of checkpoints alone."""
    from foldstep.recovery import recover_leaderboards

    if not folder.is_dir():
        raise InvalidInput(f"There is no folder {folder}.")
    found, damaged = recover_leaderboards(folder)
    if as_json:
        print_json({"searches": found, "damaged": damaged})
        return
    for search, rows in found.items():
        out.print(_table(search, rows))
    for name in damaged:
        out.print(f"Left out, damaged: {name}", markup=False)
    if not found:
        out.print(f"There are no checkpoints in {folder}.")


def _table(search: str, rows: list[dict[str, Any]]) -> Table:
    table = Table("rank", "trial", "score", "hyperparameters", title=search, title_justify="left")
    for row in rows:
        params = ", ".join(f"{k} {display.number(v)}" for k, v in row["params"].items())
        table.add_row(str(row["rank"]), str(row["trial"]), score(row["score"]), params)
    return table
