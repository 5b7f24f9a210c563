"""The file format of checkpoints and training states: safetensors, with JSON facts and a checksum inside.

Only safetensors and JSON are ever read, never a pickle. The checksum covers tensors and facts, so that a
damaged file is told from a whole one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

FORMAT = "foldstep/1"

_ENTRY = "foldstep"

Arrays = dict[str, np.ndarray]
Facts = dict[str, Any]


class CheckpointDamaged(ValueError):
    """The file is cut short, changed, or not one of ours."""


def encode(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> bytes:
    """A whole file as bytes.

    Args:
        arrays: by name; contiguous.
        facts: anything that JSON can hold.
    """
    ordered = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    text = json.dumps(facts, sort_keys=True, allow_nan=False)
    envelope = {"facts": text, "format": FORMAT, "sha256": _checksum(ordered, text)}
    # a single entry, for the library writes several in random order, and equal content should give equal bytes
    return save(ordered, metadata={_ENTRY: json.dumps(envelope)})


def decode(content: bytes) -> tuple[Arrays, Facts]:
    """What `encode` made a file of.

    Raises:
        CheckpointDamaged: the bytes are no such file, or not as they were written.
    """
    try:
        arrays = load(content)
        envelope = _envelope(_metadata(content))
    except (SafetensorError, ValueError) as error:
        raise CheckpointDamaged(f"not a whole checkpoint file: {error}") from error
    if envelope["sha256"] != _checksum({n: arrays[n] for n in sorted(arrays)}, envelope["facts"]):
        raise CheckpointDamaged("the checksum does not fit the content")
    facts: Facts = json.loads(envelope["facts"])
    return arrays, facts


def read_facts(path: str) -> Facts:
    """The facts of a file alone, without reading its tensors or checking them.

    Raises:
        CheckpointDamaged: the file is none of ours.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            envelope = _envelope(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointDamaged(f"not a whole checkpoint file: {error}") from error
    facts: Facts = json.loads(envelope["facts"])
    return facts


def _envelope(metadata: Mapping[str, str]) -> dict[str, str]:
    """What `encode` put around the facts.

    Raises:
        ValueError: there is none, or of another format.
    """
    envelope = json.loads(metadata.get(_ENTRY, "null"))
    if not isinstance(envelope, dict) or not envelope.keys() >= {"facts", "format", "sha256"}:
        raise ValueError("it was not written by Foldstep")
    if envelope["format"] != FORMAT:
        raise ValueError(f"expected format {FORMAT}, however: {envelope['format']}")
    return envelope


def _metadata(content: bytes) -> dict[str, str]:
    """The header's free text: 8 bytes of little-endian length, then JSON (the safetensors specification)."""
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
