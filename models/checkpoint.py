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
    metadata = {"format": FORMAT, "facts": text, "sha256": _checksum(ordered, text)}
    return save(ordered, metadata=metadata)


def decode(content: bytes) -> tuple[Arrays, Facts]:
    """What `encode` made a file of.

    Raises:
        CheckpointDamaged: the bytes are no such file, or not as they were written.
    """
    try:
        arrays = load(content)
        metadata = _metadata(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointDamaged(f"not a whole safetensors file: {error}") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointDamaged(f"expected format {FORMAT}, however: {metadata.get('format')}")
    text = metadata.get("facts", "")
    if metadata.get("sha256") != _checksum({n: arrays[n] for n in sorted(arrays)}, text):
        raise CheckpointDamaged("the checksum does not fit the content")
    return arrays, json.loads(text)


def read_facts(path: str) -> Facts:
    """The facts of a file alone, without reading its tensors or checking them.

    Raises:
        CheckpointDamaged: the file is none of ours.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointDamaged(f"not a whole safetensors file: {error}") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointDamaged(f"expected format {FORMAT}, however: {metadata.get('format')}")
    facts: Facts = json.loads(metadata["facts"])
    return facts


def _metadata(content: bytes) -> dict[str, str]:
    """The header's free text: 8 bytes of little-endian length, then JSON (the safetensors specification)."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    metadata: dict[str, str] = header.get("__metadata__", {})
    return metadata


def _checksum(arrays: Mapping[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
