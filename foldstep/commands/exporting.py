"""`export`: write a search for other tools."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from foldstep.committee import master_of
from foldstep.connect import DEFAULT_DIR, connect
from foldstep.model_formats import Format
from foldstep.options import Dir, Json, SearchId, Token, Url, err, out, print_json
from foldstep.service.contract.errors import InvalidInput
from foldstep.service.contract.numbers import size

Storage = Annotated[
    str | None, typer.Option("--optuna", help="Where the study goes, as sqlite:///study.db; made where missing.")
]
Kind = Annotated[
    Format | None,
    typer.Option("--format", help="Write a model: a model file, an ONNX graph, or a program of torch.export."),
]
ModelPath = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="The model's file: .foldstep, .onnx or .pt2.")
]
Licence = Annotated[str, typer.Option("--licence", metavar="TEXT", help="Licence of the model, for its card.")]


def export(  # Long: one option a line
    search: SearchId,
    optuna: Storage = None,
    kind: Kind = None,
    output: ModelPath = None,
    trial: Annotated[
        int | None, typer.Option("--trial", help="This trial of the search alone, not its ensemble.")
    ] = None,
    licence: Licence = "",
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --out where it exists.")] = False,
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Write a search for use elsewhere: its networks as a model, or its trials as a study of Optuna."""
    if kind is None and optuna is not None:
        if output is not None or trial is not None or licence or force:
            raise InvalidInput("--out, --trial, --licence and --force are about a model: give --format with them.")
        _export_study(search, optuna, url, token, data_dir, as_json=as_json)
        return
    if kind is None or output is None or optuna is not None:
        raise InvalidInput("Say what to write: --format foldstep --out FILE for a model, or --optuna for a study.")
    from foldstep.model_export import check_export, export_model

    check_export(kind, output, force=force)
    with master_of(url, token, data_dir, [Path.cwd()]) as master:  # the card tells of the data, if they are here
        done = export_model(master, search, kind, output, trial=trial, licence=licence)
    if as_json:
        print_json(asdict(done))
        return
    for note in done.notes:
        err.print(note, highlight=False, markup=False, soft_wrap=True)
    networks = "1 network" if done.networks == 1 else f"{done.networks} networks"
    out.print(f"{networks} of {done.search} in {done.file}, {size(done.bytes)}.", highlight=False, soft_wrap=True)


def _export_study(
    search: str, storage: str, url: str | None, token: str | None, data_dir: Path, *, as_json: bool
) -> None:
    from foldstep.optuna_study import write_study

    master = connect(url, token, data_dir)
    search = master.search(search).id
    n_trials = write_study(master, search, storage)
    if as_json:
        print_json({"study": search, "storage": storage, "trials": n_trials})
    else:
        out.print(f"{n_trials} trials are in {storage} as the study {search}.", highlight=False, soft_wrap=True)
