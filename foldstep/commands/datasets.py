"""`datasets`: the data sets that the master knows by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foldstep import display
from foldstep.connect import DEFAULT_DIR, connect
from foldstep.options import (
    REFUSED,
    Dir,
    Json,
    Token,
    Url,
    Yes,
    confirmed,
    no_file,
    out,
    print_json,
    quiet_exit,
)
from foldstep.sending import sending
from foldstep.service.contract.dataset import Dataset

datasets = typer.Typer(no_args_is_help=True, help="Data sets that the master knows.")
Name = Annotated[str, typer.Argument(help="What specs call it.")]
DataFile = Annotated[Path, typer.Argument(help="CSV or Parquet file on this machine.")]


@datasets.command("add")
def add_dataset(
    name: Annotated[str, typer.Argument(help="What specs will call it.")],
    file: DataFile,
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Upload a data file to the master under a name."""
    _check_file(file)
    master = connect(url, token, data_dir)
    with sending(file) as on_progress:
        dataset = master.upload_dataset(name, file, on_progress=on_progress)
    if as_json:
        print_json(dataset)
    else:
        out.print(f"{dataset.name}: {_facts(dataset)}", markup=False)


@datasets.command("replace")
def replace_dataset(
    name: Name,
    file: DataFile,
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Let a name stand for the data of another file; searches that have begun keep theirs."""
    _check_file(file)
    master = connect(url, token, data_dir)
    with sending(file) as on_progress:
        replaced = master.replace_dataset(name, file, on_progress=on_progress)
    if as_json:
        print_json(replaced)
        return
    out.print(f"{name} was {_facts(replaced.old)}", markup=False)
    out.print(f"{name} is now {_facts(replaced.new)}", markup=False)
    if replaced.old.description.fingerprint == replaced.new.description.fingerprint:
        out.print("The data are the same.")
    else:
        out.print("Searches that have begun keep the data that they began with.")


@datasets.command("delete")
def delete_dataset(
    name: Name, yes: Yes = False, url: Url = None, token: Token = None, data_dir: Dir = DEFAULT_DIR
) -> None:
    """Forget a data set, for good; asks before it does. Searches that have begun keep theirs."""
    master = connect(url, token, data_dir)
    master.dataset(name)
    if not confirmed(name, yes=yes):
        quiet_exit(REFUSED)
        return
    master.delete_dataset(name)
    out.print(f"{name} is deleted; searches that have begun keep the data that they began with.", markup=False)


@datasets.command("list")
def list_datasets(url: Url = None, token: Token = None, data_dir: Dir = DEFAULT_DIR, as_json: Json = False) -> None:
    """List the data sets that the master knows."""
    found = connect(url, token, data_dir).datasets()
    if as_json:
        print_json(found)
    else:
        out.print(display.datasets(found))


def _check_file(file: Path) -> None:
    if not file.is_file():
        raise no_file(file)


def _facts(dataset: Dataset) -> str:
    facts = dataset.description
    return f"{facts.n_rows} rows, {len(facts.columns)} columns, {facts.fingerprint[:12]}"
