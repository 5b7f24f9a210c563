"""The pictures of the documentation can be made again, and those that are there are what they should be."""

from __future__ import annotations

import pytest

from docs.picture import FOLDER, HEIGHT, MOST_BYTES, NAMES, WIDTH, draw

SPEC = {
    "name": "drawn", "data": {"dataset": "iris"}, "cv": {"folds": 2}, "budget": {"trials": 12},
    "parameters": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}, "epochs": 3},
}  # fmt: skip
LEAST_BYTES = {"page": 20_000, "trial": 5_000, "matters": 5_000}
"""Less is a picture without anything on it."""


def size(picture: bytes) -> list[int]:
    assert picture.startswith(b"\x89PNG\r\n")
    return [int.from_bytes(picture[at : at + 4]) for at in (16, 20)]


def test_a_search_is_trained_and_drawn() -> None:
    pictures = draw(SPEC)
    assert tuple(pictures) == NAMES
    assert size(pictures["page"]) == [WIDTH, HEIGHT]
    for name, picture in pictures.items():
        width, height = size(picture)
        assert width <= WIDTH, name
        assert height >= 100, name
        assert LEAST_BYTES[name] < len(picture) <= MOST_BYTES, name


@pytest.mark.parametrize("name", NAMES)
def test_picture_is_there(name: str) -> None:
    picture = (FOLDER / f"{name}.png").read_bytes()
    assert size(picture)[0] <= WIDTH
    assert LEAST_BYTES[name] < len(picture) <= MOST_BYTES
