"""`foldstep predict` with checkpoints that weighted classes in training, and with those of earlier versions."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldstep.models.checkpoint import decode, encode
from tests.foldstep.conftest import Desk
from tests.foldstep.predicting import codes_table, lines, predict, trained


@pytest.fixture(scope="module")
def codes(busy_desk: Desk) -> list[Path]:
    return trained(busy_desk, "codes", codes_table())


SHARE_INTERCEPT = -3.2


def unequal(n: int, seed: int) -> list[tuple[float, float, str]]:
    """Two numbers and a class: `rare` with the probability of a logistic model, 0.066 on average."""
    rng = random.Random(seed)
    rows = []
    for _ in range(n):
        a, b = rng.gauss(0, 1), rng.gauss(0, 1)
        is_rare = rng.random() < 1 / (1 + math.exp(-(SHARE_INTERCEPT + a - 0.5 * b)))
        rows.append((a, b, "rare" if is_rare else "usual"))
    return rows


def as_csv(rows: list[tuple[float, float, str]]) -> str:
    return "a,b,y\n" + "".join(f"{a:.5f},{b:.5f},{y}\n" for a, b, y in rows)


WEIGHTED = {"lr": 0.01, "width": 8, "epochs": 15, "batch_size": 64, "class_weight": "balanced"}


@pytest.fixture(scope="module")
def weighted(busy_desk: Desk) -> list[Path]:
    return trained(busy_desk, "unequal", as_csv(unequal(3000, 1)), WEIGHTED, task="classification")


def test_probabilities_are_corrected_to_the_true_shares(weighted: list[Path], tmp_path: Path) -> None:
    """The mean of a calibrated prediction is the class's share.

    The share of 3,000 training rows and that of 3,000 held-out rows have standard errors of
    sqrt(0.066 * 0.934 / 3000) = 0.0045 each. Fitting with weights costs at most twice the training part's. So the
    difference has one of at most 0.0101, and 0.04 is four of them.
    """
    new = unequal(3000, 2)
    (header, *cells), done = predict(weighted, as_csv(new), tmp_path, "--proba")
    assert header == ["rare", "usual"]
    shares = np.array(cells, float)
    assert shares.sum(axis=1) == pytest.approx(np.ones(3000), abs=1e-12)
    true = sum(y == "rare" for _, _, y in new) / 3000
    assert shares[:, 0].mean() == pytest.approx(true, abs=0.04)
    assert "corrected to the true shares" in done.stderr
    (_, *raw), done = predict(weighted, as_csv(new), tmp_path, "--proba", "--weighted")
    assert np.array(raw, float)[:, 0].mean() > true + 0.2, "as if both classes were equally frequent"
    assert "left so (--weighted)" in done.stderr


def test_the_classes_are_those_that_were_scored(weighted: list[Path], tmp_path: Path) -> None:
    new = as_csv(unequal(500, 3))
    (header, *raw), _ = predict(weighted, new, tmp_path, "--proba", "--weighted")
    (_, *labels), done = predict(weighted, new, tmp_path)
    assert [label for (label,) in labels] == [header[int(np.argmax(row))] for row in np.array(raw, float)]
    assert done.stderr == ""


def test_a_checkpoint_says_the_weights_of_its_classes(weighted: list[Path], codes: list[Path]) -> None:
    _, facts = decode(weighted[0].read_bytes())
    rare, usual = facts["target"]["class_weights"]
    assert 1 / rare + 1 / usual == pytest.approx(2)  # rows / (2 * rows of the class), so the shares add up to 1
    assert rare > 5
    assert usual < 1
    _, facts = decode(codes[0].read_bytes())
    assert facts["target"]["class_weights"] is None


def earlier(path: Path, folder: Path, **params: Any) -> Path:
    """A checkpoint as an earlier version wrote it: without reading and weights, perhaps of other hyperparameters."""
    arrays, facts = decode(path.read_bytes())
    facts["context"].pop("reading", None)
    del facts["target"]["class_weights"]
    facts["params"] |= params
    copy = folder / path.name
    copy.write_bytes(encode(arrays, facts))
    return copy


def test_weights_of_an_earlier_version(weighted: list[Path], tmp_path: Path) -> None:
    """It did not save them: a mapping tells them, `balanced` does not."""
    new = as_csv(unequal(50, 4))
    raw, _ = predict(weighted[:1], new, tmp_path, "--proba", "--weighted")
    values, done = predict([earlier(weighted[0], tmp_path)], new, tmp_path, "--proba")
    assert values == raw
    assert "left so, since a checkpoint of an earlier version does not tell the weights" in done.stderr
    _, facts = decode(weighted[0].read_bytes())
    rare, usual = facts["target"]["class_weights"]
    corrected, _ = predict(weighted[:1], new, tmp_path, "--proba")
    mapping = {"class_weight": {"rare": rare, "usual": usual}}
    values, _ = predict([earlier(weighted[0], tmp_path, **mapping)], new, tmp_path, "--proba")
    assert values == corrected


def test_checkpoints_of_an_earlier_version_impose_their_kinds(codes: list[Path], tmp_path: Path) -> None:
    (tmp_path / "earlier").mkdir()
    old = [earlier(path, tmp_path / "earlier") for path in codes]
    for numbers in ([1], [2, 4], []):
        new = lines(*numbers)
        assert predict(old, new, tmp_path)[0] == predict(codes, new, tmp_path)[0]


def test_words_and_dates_are_numbers_for_checkpoints_of_an_earlier_version(busy_desk: Desk, tmp_path: Path) -> None:
    """It made 1 and 0 of true and false, and seconds since 1970 of dates."""
    rng = random.Random(8)
    rows = [(rng.randint(0, 1), 86400 * rng.randint(10_000, 20_000), rng.gauss(0, 1)) for _ in range(90)]
    table = "flag,day,size,y\n" + "".join(f"{f},{d},{s:.3f},{f + d / 1e9 + s:.3f}\n" for f, d, s in rows)
    old = [earlier(path, tmp_path) for path in trained(busy_desk, "words", table)]
    expected, _ = predict(old, "flag,day,size\n1,864000000,0.5\n0,1296000000,0.5\n,,0.5\n", tmp_path)
    words = "flag,day,size\nTrue,1997-05-19,0.5\nFALSE,2011-01-26,0.5\n,,0.5\n"
    values, done = predict(old, words, tmp_path)
    assert values == expected
    assert len({value for (value,) in values}) == 4
    assert done.stderr == ""
    ((_,), (alone,)), _ = predict(old, "\n".join(words.split("\n")[:2]) + "\n", tmp_path)
    assert float(alone) == pytest.approx(
        float(expected[1][0]), rel=1e-5
    )  # a product of one row may sum in another order
