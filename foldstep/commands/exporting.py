"""`export`: write a search for other tools."""

from __future__ import annotations

from typing import Annotated

import typer

from foldstep.connect import DEFAULT_DIR, connect
from foldstep.options import Dir, Json, SearchId, Token, Url, out, print_json


def export(
    search: SearchId,
    optuna: Annotated[
        str,
        typer.Option("--optuna", help="Where the study goes, as sqlite:///study.db; made where missing."),
    ],
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Write a search as a study that Optuna and its dashboard can open."""
    from foldstep.optuna_study import write_study

    master = connect(url, token, data_dir)
    search = master.search(search).id
    n_trials = write_study(master, search, optuna)
    if as_json:
        print_json({"study": search, "storage": optuna, "trials": n_trials})
    else:
        out.print(f"{n_trials} trials are in {optuna} as the study {search}.", highlight=False, soft_wrap=True)
