"""The model file `NAME.foldstep`: an ensemble to take home, a zip archive of checkpoints, facts in JSON and a card.

Nothing in it is compressed, so that it stands for no more bytes than it has. Only safetensors and JSON are read, never
a pickle. `model.json` has the size and the checksum of every other part, and a checksum of itself.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from foldstep.ensemble import Ensemble, LoadedCommittee
from foldstep.models.checkpoint import CheckpointDamaged, decode, encode, reading_facts
from foldstep.service.contract.calibration import NOTHING, Adjustments
from foldstep.service.contract.errors import Fault, InvalidInput, ModelUnreadable, shown
from foldstep.service.contract.out_of_fold import without_predictions
from foldstep.service.contract.version import __version__
from foldstep.whole_file import whole_file
from foldstep.worker.predictor import Predictor

if TYPE_CHECKING:
    from foldstep.committee import Committee  # brings the client

ENDING = ".foldstep"
FORMAT, VERSION = "foldstep-model", 2
WITHOUT_ADJUSTMENTS = 1
"""The version of a file whose ensemble has neither temperature nor threshold, which earlier versions read rightly."""
ABOUT, CARD, CARD_TEXT = "model.json", "card.json", "card.md"

MAX_NETWORKS = 5000
MAX_TEXT_BYTES = 64 << 20
"""Bound on each part that is text."""
_MAX_BYTES = (1 << 32) - 1  # what the form of the archive without extensions has room for
_NETWORK = re.compile(r"networks/[0-9]{4}-[0-9]{4}\.safetensors")
_TEXTS = (ABOUT, CARD, CARD_TEXT)
_END, _END_64, _HEAD = b"PK\x05\x06", b"PK\x06\x07", b"PK\x03\x04"
_END_SIZE, _ENTRY_SIZE = 22, 46 + 32  # bytes: of the archive's end, and of an entry of its list with a name of ours
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # equal content gives equal bytes


@dataclass(frozen=True)
class ModelFile:
    """A model file in memory.

    Attributes:
        ensemble: its networks.
        about: what `model.json` says.
        card: what `card.json` says.
        card_text: the card as Markdown.
    """

    ensemble: Ensemble
    about: dict[str, Any]
    card: dict[str, Any]
    card_text: str


def write_model(
    path: Path,
    committees: Sequence[Committee],
    card: Mapping[str, Any],
    card_text: str,
    adjustments: Adjustments = NOTHING,
) -> int:
    """Write a model file, whole or not at all; the checkpoints are put into it without what they say of training rows.

    Args:
        path: of the file; one that is there is replaced.
        committees: the networks.
        card: the model card, as values that JSON can represent.
        card_text: the same as Markdown.
        adjustments: what is done with the mean of what the networks say.

    Returns:
        The bytes of the file.

    Raises:
        InvalidInput: a checkpoint cannot be used, or the file cannot be written.
    """
    contents = {_name(m, n): _content(file) for m, n, file in _files(committees)}
    if len(contents) > MAX_NETWORKS:
        raise InvalidInput(f"A model file has at most {MAX_NETWORKS:,} networks, however: {len(contents):,}.")
    members = [
        {"trial": c.trial, "weight": c.weight, "networks": [_name(m, n) for n in range(len(c.checkpoints))]}
        for m, c in enumerate(committees)
    ]
    names = {_name(m, n): str(file) for m, n, file in _files(committees)}
    ensemble = _ensemble(members, contents, names, adjustments)
    texts = {CARD: _json(card), CARD_TEXT: card_text.encode()}
    about = _sealed(_about(ensemble, members, card, {**texts, **contents}))
    with whole_file(path) as file:
        _archive(file, {ABOUT: _json(about), **texts, **contents})
    return path.stat().st_size


def _files(committees: Sequence[Committee]) -> Iterator[tuple[int, int, Path]]:
    for m, committee in enumerate(committees):
        for n, file in enumerate(committee.checkpoints):
            yield m, n, file


def _name(member: int, network: int) -> str:
    return f"networks/{member:04d}-{network:04d}.safetensors"


def _content(file: Path) -> bytes:
    """Read a checkpoint, without its out-of-fold predictions: these tell the target of every row of the training data.

    Raises:
        InvalidInput: it is damaged, or cannot be read.
    """
    try:
        content = file.read_bytes()
        arrays, facts = decode(content)
    except (CheckpointDamaged, OSError) as error:
        raise InvalidInput(f"{file} cannot be used as a checkpoint: {error}.") from error
    kept = without_predictions(arrays)
    return content if len(kept) == len(arrays) else encode(kept, facts)


def _about(
    ensemble: Ensemble, members: list[dict[str, Any]], card: Mapping[str, Any], parts: Mapping[str, bytes]
) -> dict[str, Any]:
    first = ensemble.first
    labels = [list(classes) for classes in first.classes_of_labels]
    return {
        "format": FORMAT,
        "version": VERSION if ensemble.adjustments.changes_classes else WITHOUT_ADJUSTMENTS,
        "members": members,
        "task": first.target.task,
        "target": first.target_names,
        "classes": labels or (None if first.classes is None else list(first.classes)),
        "quantiles": list(first.quantiles),
        "columns": ensemble.columns,
        "chosen": card.get("chosen"),
        "intervals": dict(ensemble.adjustments.intervals),
        **ensemble.adjustments.model_dump(mode="json", exclude_defaults=True),
        "fingerprint": first.facts["context"].get("fingerprint"),
        "versions": {"foldstep": __version__},
        "parts": {name: {"bytes": len(part), "sha256": _sha256(part)} for name, part in parts.items()},
    }


def _sealed(about: dict[str, Any]) -> dict[str, Any]:
    """Add the checksum of the rest."""
    return {**about, "sha256": _sha256(_json({name: value for name, value in about.items() if name != "sha256"}))}


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _archive(file: IO[bytes], parts: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w", allowZip64=False) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _FIRST_DAY), content)


def is_model_file(path: Path) -> bool:
    """Tell whether a file is meant as a model, by its ending or its first bytes."""
    if path.suffix == ENDING:
        return True
    try:
        with path.open("rb") as file:
            return file.read(4) == _HEAD
    except OSError:
        return False


def ensemble_in(files: Sequence[Path]) -> Ensemble:
    """Read the networks in the files that a user names: one model, or checkpoints, which predict by their mean.

    Raises:
        InvalidInput: a file cannot be used, or a model stands beside others.
    """
    if not any(is_model_file(file) for file in files):
        from foldstep.committee import Committee

        return Ensemble.load([Committee(1.0, files)])
    if len(files) > 1:
        raise InvalidInput("A model predicts alone: name one model file, or checkpoint files.")
    return read_model(files[0]).ensemble


def read_model(path: Path) -> ModelFile:
    """Read a model file; every part is checked.

    Raises:
        ModelUnreadable: it is not there, cut short (`truncated`), altered (`altered`), of a newer version
            (`newer_version`), beyond a bound (`too_large`), or something else (`no_model`).
    """
    with _refusing(path), _plain(path).open("rb") as file:
        with _opened(file, path.stat().st_size) as archive:
            parts = _parts(archive, path.stat().st_size)
        about = _checked(parts)
        contents = {name: content for name, content in parts.items() if name not in _TEXTS}
        names = {name: f"{name} in {path}" for name in contents}
        ensemble = _ensemble(about["members"], contents, names, _adjustments(about))
        card = json.loads(parts[CARD])
        if not isinstance(card, dict):
            raise _Wrong("no_model", "a card that is a mapping", type(card).__name__)
        return ModelFile(ensemble, about, card, parts[CARD_TEXT].decode())


def _plain(path: Path) -> Path:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise _Wrong("no_file", "a plain file", "a folder or a pipe")
    return path


class _Wrong(Exception):
    """What is wrong with a file: a stable code, what was expected, and what was there."""

    def __init__(self, code: str, expected: str, got: str) -> None:
        super().__init__(code, expected, got)
        self.code, self.expected, self.got = code, expected, got


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a file is read into one refusal with a stable code."""
    try:
        with reading_facts():
            yield
    except _Wrong as wrong:
        raise _refusal(path, wrong.code, wrong.expected, wrong.got) from None
    except CheckpointDamaged as error:
        raise _refusal(path, "no_model", "what a model file says", str(error)) from None
    except OSError as error:
        raise _refusal(path, "no_file", "a file that can be read", error.strerror or str(error)) from None
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise _refusal(path, "altered", "a whole archive", str(error)) from None


_ADVICE = {
    "truncated": "copy it again",
    "altered": "copy it again, or export it again",
    "newer_version": "upgrade foldstep",
    "no_file": "name a model file, written by foldstep export --format foldstep",
    "no_model": "name a model file, written by foldstep export --format foldstep",
    "too_large": "export a smaller ensemble",
}


def _refusal(path: Path, code: str, expected: str, got: str) -> ModelUnreadable:
    fault = Fault(code=code, path=path.name, expected=expected, got=got, hint=_ADVICE[code])
    return ModelUnreadable(
        f"{path} cannot be used as a model ({code}): expected {expected}, got {shown(got)}; {_ADVICE[code]}.",
        faults=[fault],
    )


@contextmanager
def _opened(file: IO[bytes], n_bytes: int) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose list of parts is bounded before it is read."""
    if file.read(4) != _HEAD:
        raise _Wrong("no_model", "an archive", "another file")
    if n_bytes > _MAX_BYTES:
        raise _Wrong("too_large", f"at most {_MAX_BYTES:,} bytes", f"{n_bytes:,}")
    tail_size = min(n_bytes, _END_SIZE + 20)
    file.seek(n_bytes - tail_size)
    tail = file.read()
    end = tail[-_END_SIZE:]
    if end[:4] != _END or end[-2:] != b"\0\0":
        raise _Wrong("truncated", "the end of an archive", "none")
    most = MAX_NETWORKS + len(_TEXTS)
    n_parts, n_list = int.from_bytes(end[10:12], "little"), int.from_bytes(end[12:16], "little")
    if n_parts > most or n_list > most * _ENTRY_SIZE or tail.startswith(_END_64):
        raise _Wrong("too_large", f"at most {most:,} parts", f"{n_parts:,} parts, listed in {n_list:,} bytes")
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        yield archive


def _parts(archive: zipfile.ZipFile, n_bytes: int) -> dict[str, bytes]:
    """Read all parts, once it is known that they are no more than the file has."""
    entries = archive.infolist()
    for entry in entries:
        _check_entry(entry)
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names) or not {*_TEXTS} <= {*names}:
        raise _Wrong("no_model", f"the parts {', '.join(_TEXTS)}, each once", shown(", ".join(names)))
    if sum(entry.file_size for entry in entries) > n_bytes:  # parts that overlap
        raise _Wrong("too_large", f"parts of at most the file's {n_bytes:,} bytes", "more")
    return {entry.filename: archive.read(entry) for entry in entries}


def _check_entry(entry: zipfile.ZipInfo) -> None:
    if entry.filename not in _TEXTS and not _NETWORK.fullmatch(entry.filename):
        raise _Wrong("no_model", "the parts of a model", shown(entry.filename))
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size or entry.flag_bits & 1:
        raise _Wrong("no_model", "parts that are stored as they are", f"{entry.filename}, packed")
    if entry.filename in _TEXTS and entry.file_size > MAX_TEXT_BYTES:
        raise _Wrong("too_large", f"at most {MAX_TEXT_BYTES:,} bytes in {entry.filename}", f"{entry.file_size:,}")


def _checked(parts: Mapping[str, bytes]) -> dict[str, Any]:
    """Read `model.json`, and check every part by it."""
    about = json.loads(parts[ABOUT])
    if not isinstance(about, dict) or about.get("format") != FORMAT or not isinstance(about.get("version"), int):
        raise _Wrong("no_model", f"the format {FORMAT}", "another")
    if about["version"] > VERSION:
        raise _Wrong("newer_version", f"version {VERSION} of the file or an earlier one", str(about["version"]))
    if about.get("sha256") != _sealed(about)["sha256"]:
        raise _Wrong("altered", f"the checksum of {ABOUT}", "another")
    said = about["parts"]
    if said.keys() != parts.keys() - {ABOUT}:
        raise _Wrong("altered", "the parts that it names", "others")
    for name, part in said.items():
        if part["bytes"] != len(parts[name]) or part["sha256"] != _sha256(parts[name]):
            raise _Wrong("altered", f"the checksum of {name}", "another")
    return about


def _adjustments(about: Mapping[str, Any]) -> Adjustments:
    """Read what is done with the mean; a file of an earlier version has intervals at most."""
    said = {name: about[name] for name in ("temperature", "threshold") if name in about}
    return Adjustments(intervals=_widths(about.get("intervals", {})), **said)


def _widths(said: Any) -> dict[str, float]:
    """Read the widths of intervals; a file of an earlier version has none."""
    widths = {str(share): float(width) for share, width in said.items()}
    if not all(0 < float(share) < 1 and 0 <= width < math.inf for share, width in widths.items()):
        raise CheckpointDamaged("its intervals are not shares with widths")
    return widths


def _ensemble(
    members: Any, contents: Mapping[str, bytes], names: Mapping[str, str], adjustments: Adjustments
) -> Ensemble:
    """Make the networks of their bytes.

    Raises:
        InvalidInput: one is damaged, or they do not fit together.
    """
    used = [name for member in members for name in member["networks"]]
    if sorted(used) != sorted(contents):
        raise CheckpointDamaged("its members do not have each network once")
    committees = [
        LoadedCommittee(float(m["weight"]), [_predictor(contents[n], names[n]) for n in m["networks"]], m["trial"])
        for m in members
    ]
    return Ensemble.of(committees, [names[name] for name in used], adjustments)


def _predictor(content: bytes, name: str) -> Predictor:
    try:
        return Predictor.read(content)
    except CheckpointDamaged as error:
        raise InvalidInput(f"{name} cannot be used as a checkpoint: {error}.") from error
