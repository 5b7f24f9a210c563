"""Write the networks of a search for use elsewhere: as a model file, an ONNX graph, or a PyTorch program."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from foldstep.client import Foldstep
from foldstep.committee import Chosen, search_committees
from foldstep.ensemble import Ensemble
from foldstep.model_card import as_markdown, card_of
from foldstep.model_file import ENDING, write_model
from foldstep.model_formats import Format
from foldstep.service.contract.errors import Fault, InvalidInput
from foldstep.whole_file import whole_file


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        search: the search.
        file: the file.
        bytes: its size.
        trials: the trials in it.
        networks: the number of networks in it.
        notes: what a user should know, one sentence each.
    """

    search: str
    file: str
    bytes: int
    trials: list[int]
    networks: int
    notes: list[str]


_ENDINGS = {Format.FOLDSTEP: ENDING, Format.ONNX: ".onnx", Format.TORCH: ".pt2"}
_NEEDS = {Format.ONNX: ("onnx", "onnx"), Format.TORCH: ("torch", "worker")}
"""Package that a format needs, and the extra of the installation that has it."""


def format_of(path: Path) -> Format:
    """Find the format of a file by its ending.

    Raises:
        InvalidInput: no format has it.
    """
    for kind, ending in _ENDINGS.items():
        if path.suffix.lower() == ending:
            return kind
    fault = Fault(code="bad_name", path="out", expected=f"a name that ends in {' or '.join(_ENDINGS.values())}",
                  got=path.name)  # fmt: skip
    raise InvalidInput(f"The ending of a file says what is written: {fault}.", faults=[fault])


def check_export(kind: Format, path: Path, *, force: bool) -> None:
    """Refuse, before anything is read, a file that cannot or should not be written.

    Raises:
        InvalidInput: its ending is another, its folder is missing, it exists and `force` is not given, or a package is
            missing.
    """
    ending = _ENDINGS[kind]
    if path.suffix.lower() != ending:
        fault = Fault(code="bad_name", path="out", expected=f"a name that ends in {ending}", got=path.name)
        raise InvalidInput(f"A model of the format {kind} has its ending: {fault}.", faults=[fault])
    if not path.parent.is_dir():
        raise InvalidInput(f"There is no folder {path.parent} for {path.name}; make it first.")
    if path.is_dir() or (path.exists() and not force):
        raise InvalidInput(
            f"{path} exists already; name another file, or give --force (in Python force=True) to replace it."
        )
    package, extra = _NEEDS.get(kind, ("", ""))
    if package and find_spec(package) is None:
        fault = Fault(code="missing_package", path="format", expected=f"the package {package}", got="none")
        raise InvalidInput(
            f"The format {kind} needs the package {package}: pip install 'foldstep[{extra}]'.", faults=[fault]
        )


def export_model(
    master: Foldstep, search: str, kind: Format, path: Path, *, trial: int | None = None, licence: str = ""
) -> Exported:
    """Write the networks with which a search predicts, whole or not at all.

    Args:
        master: the search's.
        search: its id or name.
        kind: what is written.
        path: of the file; one that is there is replaced.
        trial: another trial than the search's best.
        licence: under which the model is given away, for its card.

    Raises:
        NotFound: there is no such search or trial.
        InvalidInput: it has no checkpoints, or the file cannot be written.
    """
    with search_committees(master, search, trial) as chosen:
        return export_chosen(master, chosen, kind, path, licence)


def export_chosen(master: Foldstep, chosen: Chosen, kind: Format, path: Path, licence: str = "") -> Exported:
    """Write these networks of a search; arguments as for `export_model`.

    Raises:
        InvalidInput: as `export_model`.
    """
    card = card_of(master, chosen, licence)
    notes = [chosen.sentence, *_WRITERS[kind](path, chosen, card)]
    notes += [card["data"]["unreported"]] if "unreported" in card["data"] else []
    trials = [one.trial for one in chosen.trials]
    n = sum(len(committee.checkpoints) for committee in chosen.committees)
    return Exported(chosen.search.id, str(path), path.stat().st_size, trials, n, notes)


def _write_model(path: Path, chosen: Chosen, card: dict[str, Any]) -> Sequence[str]:
    write_model(path, chosen.committees, card, as_markdown(card), chosen.adjustments)
    return []


def _write_onnx(path: Path, chosen: Chosen, card: dict[str, Any]) -> Sequence[str]:
    from foldstep.portable.onnx_file import graph_notes, onnx_bytes

    ensemble = Ensemble.load(chosen.committees, chosen.adjustments)
    notes = graph_notes(ensemble)
    content = onnx_bytes(ensemble, {"card": json.dumps(card), "notes": json.dumps(notes)})
    with whole_file(path) as file:
        file.write(content)
    return notes


def _write_torch(path: Path, chosen: Chosen, card: dict[str, Any]) -> Sequence[str]:
    from foldstep.portable.torch_module import program_of

    ensemble = Ensemble.load(chosen.committees, chosen.adjustments)
    with whole_file(path) as file:
        program_of(ensemble, file, {"card.json": json.dumps(card)})
    return [
        "The program takes each network's preprocessed inputs, as `foldstep.load(…).inputs(table)` gives them: "
        "the formats foldstep and onnx have the preprocessing, too."
    ]


_WRITERS: dict[Format, Callable[[Path, Chosen, dict[str, Any]], Sequence[str]]] = {
    Format.FOLDSTEP: _write_model,
    Format.ONNX: _write_onnx,
    Format.TORCH: _write_torch,
}
