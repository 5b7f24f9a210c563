"""The file format of checkpoints and snapshots: safetensors, with metadata (facts) in JSON and a checksum inside.

Only safetensors and JSON are read, never a pickle. The checksum covers tensors and facts, so that a damaged
file is detected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

FORMAT = "foldstep/1"

_ENTRY = "foldstep"

Arrays = dict[str, np.ndarray]
Facts = dict[str, Any]


class CheckpointDamaged(ValueError):
    """The file is cut short, changed, or was not written by Foldstep."""


def encode(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> bytes:
    """Encode arrays and facts as the bytes of a file.

    Args:
        arrays: arrays by name.
        facts: metadata, as values that JSON can represent.
    """
    ordered = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    text = json.dumps(facts, sort_keys=True, allow_nan=False)
    envelope = {"facts": text, "format": FORMAT, "sha256": _checksum(ordered, text)}
    # one entry only: the library writes several in random order, and equal content should give equal bytes
    return save(ordered, metadata={_ENTRY: json.dumps(envelope)})


@contextmanager
def reading_facts() -> Iterator[None]:
    """Turn whatever goes wrong while values are made of a file's facts into `CheckpointDamaged`.

    The checksum says that a file is as it was written, not who wrote it: any value may be of any type.

    Raises:
        CheckpointDamaged: something went wrong.
    """
    try:
        yield
    except CheckpointDamaged:
        raise
    except _WRONG_FACTS as error:
        words = " ".join(str(error).split())
        said = f"{type(error).__name__}: {words[:_SHOWN]}{'…' if len(words) > _SHOWN else ''}".rstrip(".: ")
        raise CheckpointDamaged(f"it does not say what such a file must say ({said})") from error


_WRONG_FACTS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError,
)  # fmt: skip
_SHOWN = 200


def decode(content: bytes) -> tuple[Arrays, Facts]:
    """Decode the bytes of a file into arrays and facts.

    Raises:
        CheckpointDamaged: the bytes are not a file of `encode`, or have changed since.
    """
    try:
        with reading_facts():
            arrays = load(content)
            envelope = _envelope(_metadata(content))
    except SafetensorError as error:
        raise CheckpointDamaged(f"not a whole checkpoint file: {error}") from error
    with reading_facts():
        if envelope["sha256"] != _checksum({n: arrays[n] for n in sorted(arrays)}, envelope["facts"]):
            raise CheckpointDamaged("the checksum does not fit the content")
        return arrays, _facts(envelope)


def read_facts(path: str) -> Facts:
    """Read only the facts of a file; its tensors are neither read nor checked.

    Raises:
        CheckpointDamaged: the file cannot be read, or was not written by Foldstep.
    """
    try:
        with reading_facts(), safe_open(path, framework="numpy") as file:
            return _facts(_envelope(file.metadata() or {}))
    except (SafetensorError, OSError) as error:
        raise CheckpointDamaged(f"not a whole checkpoint file: {error}") from error


def read_arrays(path: str, prefix: str) -> Arrays:
    """Read the arrays of a file whose names begin with `prefix`; the others are neither read nor checked.

    Raises:
        CheckpointDamaged: the file cannot be read.
    """
    try:
        with reading_facts(), safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointDamaged(f"not a whole checkpoint file: {error}") from error


def _facts(envelope: Mapping[str, str]) -> Facts:
    facts = json.loads(envelope["facts"], parse_constant=_no_number)
    if not isinstance(facts, dict):
        raise CheckpointDamaged("its facts are no mapping")
    return facts


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not a number that JSON has")


def _envelope(metadata: Mapping[str, str]) -> dict[str, str]:
    """Parse the entry of the metadata that `encode` wrote: facts, format and checksum.

    Raises:
        ValueError: the entry is missing or has another format.
    """
    envelope = json.loads(metadata.get(_ENTRY, "null"))
    if not isinstance(envelope, dict) or not envelope.keys() >= {"facts", "format", "sha256"}:
        raise ValueError("it was not written by Foldstep")
    if envelope["format"] != FORMAT:
        raise ValueError(f"expected format {FORMAT}, however: {envelope['format']}")
    return envelope


def _metadata(content: bytes) -> dict[str, str]:
    """Read the metadata of the header: 8 bytes of little-endian length, then JSON (the safetensors specification)."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata: dict[str, str] = header.get("__metadata__") or {}
    return metadata


def _checksum(arrays: Mapping[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
