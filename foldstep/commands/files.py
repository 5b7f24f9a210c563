"""`predict` and `recover`: uses of checkpoint files that need no master."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from foldstep import display
from foldstep.options import Json, out, print_json
from foldstep.service.contract.errors import InvalidInput
from foldstep.service.contract.numbers import score


def predict(
    checkpoints: Annotated[
        list[Path], typer.Argument(metavar="CHECKPOINT...", help="One .safetensors file or several.")
    ],
    file: Annotated[Path, typer.Argument(help="CSV or Parquet file with the columns of the training data.")],
    proba: Annotated[bool, typer.Option("--proba", help="Class probabilities instead of classes.")] = False,
) -> None:
    """Predict every row of a file and write CSV; several checkpoints predict by their mean."""
    from foldstep.prediction import predict_file

    header, rows = predict_file(checkpoints, file, proba=proba)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)


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
