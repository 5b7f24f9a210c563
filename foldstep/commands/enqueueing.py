"""`enqueue`: configurations of the user's own, which a search tries next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foldstep.connect import DEFAULT_DIR, connect
from foldstep.options import Dir, Json, SearchId, Token, Url, err, out, print_json

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="CSV with a column a hyperparameter, or a YAML or JSON list.")
]


def enqueue(
    search: SearchId,
    file: File,
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Let a search try configurations of yours next; they count in its budget."""
    from foldstep.configurations import left_out_note, read_configurations

    found = read_configurations(file)
    reply = connect(url, token, data_dir).enqueue(search, found.rows)
    for note in [*left_out_note(found.others), *reply.notes]:
        err.print(note, markup=False, highlight=False, soft_wrap=True)
    if as_json:
        print_json(reply)
        return
    numbers = [trial.trial for trial in reply.trials if trial.is_new]
    if numbers:
        which = f"trial {numbers[0]}" if len(numbers) == 1 else f"trials {numbers[0]} to {numbers[-1]}"
        out.print(f"Enqueued as {which} of {reply.search}.", markup=False, highlight=False, soft_wrap=True)
