"""`fit`: from a table to a model file, in one command."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from foldstep.beginning import which_search
from foldstep.client import Foldstep
from foldstep.commands.running import Job, run_job
from foldstep.connect import DEFAULT_DIR
from foldstep.model_formats import Format
from foldstep.options import Dir, MetricOption, Targets, Time, Workers, err, out
from foldstep.service.contract.errors import InvalidInput
from foldstep.service.contract.leaderboard import SearchView
from foldstep.service.contract.numbers import size
from foldstep.service.data.recognise import is_table
from foldstep.source import source_of

_ENDING = ".foldstep"
ModelOut = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="The model file; the table's name with .foldstep else.")
]


def fit(  # Long: one option a line
    table: Annotated[str, typer.Argument(metavar="TABLE", help="CSV or Parquet file, or bundled set.")],
    target: Targets = None,
    time_limit: Time = None,
    metric: MetricOption = None,
    output: ModelOut = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --out where it exists.")] = False,
    new: Annotated[bool, typer.Option("--new", help="Begin a new search, not the unfinished one.")] = False,
    workers: Workers = None,
    data_dir: Dir = DEFAULT_DIR,
) -> None:
    """Make a model file of a table: search in the default space for its size, and write the ensemble of the best."""
    from foldstep.model_export import check_export

    if not is_table(table):
        raise InvalidInput(
            f"`foldstep fit` takes a table, and {table} is taken as a spec: `foldstep run {quote(table)}`, then "
            "`foldstep export ID --format foldstep --out FILE`."
        )
    budget = None if time_limit is None else {"time": time_limit}
    source = source_of(table, target or [], {"metric": metric, "budget": budget})
    path = Path(f"{source.content['name']}{_ENDING}") if output is None else output
    check_export(Format.FOLDSTEP, path, force=force)
    content, roots = source.placed()
    which = which_search(new=new, old_data=False)
    run_job(Job(content, roots, data_dir, workers, which, then=lambda m, s: _write(m, s, path, table)))


def _write(master: Foldstep, search: SearchView, path: Path, table: str) -> None:
    from foldstep.model_export import export_model

    done = export_model(master, search.id, Format.FOLDSTEP, path)
    for note in done.notes:
        err.print(note, highlight=False, markup=False, soft_wrap=True)
    out.print(f"The model is {path}, {size(done.bytes)}.", markup=False, highlight=False, soft_wrap=True)
    out.print(f"Predict with it: foldstep predict {quote(str(path))} {quote(table)}", markup=False, soft_wrap=True)
