"""A model of a search, from its master into a file."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from foldstep.client import Foldstep
from foldstep.model_export import Exported, check_export, export_model, format_of


def download_model(
    master: Foldstep,
    search: str,
    path: str | PathLike[str],
    *,
    trial: int | None = None,
    licence: str = "",
    force: bool = False,
) -> Exported:
    """Write the networks with which a search predicts into one file, as `foldstep export` does.

    Args:
        master: the search's.
        search: its id or name.
        path: of the file, whose ending says what it is: `.foldstep`, `.onnx` or `.pt2`.
        trial: this trial alone, not the ensemble.
        licence: under which the model is given away, for its card.
        force: replace a file that is there.

    Raises:
        NotFound: there is no such search or trial.
        InvalidInput: it has no checkpoints, or the file cannot be written.
    """
    file = Path(path)
    kind = format_of(file)
    check_export(kind, file, force=force)
    return export_model(master, search, kind, file, trial=trial, licence=licence)
