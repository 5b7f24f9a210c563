"""`histograms`: train one trial again and show histograms of its activations and gradients."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from foldstep import display_diagnostics
from foldstep.connect import DEFAULT_DIR, connect
from foldstep.options import Dir, Json, SearchId, Token, Url, out, print_json
from foldstep.service.contract.errors import Fault, InvalidInput

Epochs = Annotated[
    str, typer.Option("--epochs", help="After which epochs, as 1,5; the first and the last when left out.")
]


def histograms(
    search: SearchId,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="Number of a finished trial.")],
    epochs: Epochs = "",
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Train one trial again on this machine and show histograms of its activations and gradients, layer by layer."""
    from foldstep.worker.client import MasterClient
    from foldstep.worker.histograms import histograms as count
    from foldstep.worker.settings import default_cache_dir

    master = connect(url, token, data_dir)
    work = master.work(search, trial)
    wanted = read_epochs(epochs, work.trial.until or master.trial(search, trial).epochs)
    found, _ = count(MasterClient(master.connection), work, default_cache_dir(), wanted)
    if as_json:
        print_json({"trial": trial, "histograms": [asdict(histogram) for histogram in found]})
        return
    for part in display_diagnostics.histograms(found):
        out.print(part)


def read_epochs(text: str, epochs: int) -> list[int]:
    """Parse the epochs of `--epochs`; the list is empty where the option was left out.

    Raises:
        InvalidInput: an entry is not a number from 1 to `epochs`.
    """
    words = [word.strip() for word in text.split(",")] if text else []
    for word in words:
        if not word.isdecimal() or not 1 <= int(word) <= epochs:
            expected = f"whole numbers from 1 to {epochs}, with commas between"
            fault = Fault(code="bad_epochs", path="epochs", expected=expected, got=repr(word))
            raise InvalidInput(f"There is no such epoch: {fault}.", faults=[fault])
    return [int(word) for word in words]
