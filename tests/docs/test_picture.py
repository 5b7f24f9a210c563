"""The README's picture can be made again."""

from __future__ import annotations

from docs.picture import HEIGHT, MOST_BYTES, WIDTH, draw

SPEC = {
    "name": "drawn", "data": {"dataset": "iris"}, "cv": {"folds": 2}, "budget": {"trials": 4},
    "parameters": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}, "epochs": 3},
}  # fmt: skip


def test_a_search_is_trained_and_drawn() -> None:
    picture = draw(SPEC)
    assert picture.startswith(b"\x89PNG\r\n")
    assert [int.from_bytes(picture[at : at + 4]) for at in (16, 20)] == [WIDTH, HEIGHT]
    assert 20_000 < len(picture) <= MOST_BYTES, "not a page without anything"
