"""A file is read back as it was written, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from foldstep.models.checkpoint import CheckpointDamaged, decode, encode, read_facts

ARRAYS = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array([np.nan, -0.0])}
FACTS = {"trial": 7, "params": {"hidden": [3, 4], "lr": 0.1}, "name": "Straße"}


def test_round_trip(tmp_path: Path) -> None:
    content = encode(ARRAYS, FACTS)
    arrays, facts = decode(content)
    assert facts == FACTS
    assert {n: a.tobytes() for n, a in arrays.items()} == {n: a.tobytes() for n, a in ARRAYS.items()}
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert read_facts(str(path)) == FACTS


def test_equal_content_gives_equal_bytes() -> None:
    assert encode(ARRAYS, FACTS) == encode(dict(reversed(ARRAYS.items())), dict(reversed(FACTS.items())))


@given(at=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_any_changed_byte_is_noticed(at: int, flip: int) -> None:
    content = bytearray(encode(ARRAYS, FACTS))
    content[at % len(content)] ^= flip
    try:
        arrays, facts = decode(bytes(content))
    except CheckpointDamaged:
        return
    # the header may be padded with spaces or written in another way that says the same
    assert facts == FACTS
    assert {n: a.tobytes() for n, a in arrays.items()} == {n: a.tobytes() for n, a in ARRAYS.items()}


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04K\x01.", save(ARRAYS), encode(ARRAYS, FACTS)[:-1]])
def test_foreign_and_short_files_are_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(CheckpointDamaged):
        decode(content)
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointDamaged):
        read_facts(str(path))
