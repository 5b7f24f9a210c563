"""Names of checkpoints sort as their scores do, whatever the magnitude and sign, and say the score."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foldstep.models.catalog.metrics import METRICS
from foldstep.service.contract.checkpoint_name import DIGITS, CheckpointName

EVERY = [-1e300, -122.0, -1.5, -1e-9, -1e-300, 0.0, 5e-324, 1e-300, 1e-13, 9.9999999e-13, 1e-12, 2.6e-5, 0.099999999,
         0.1, 0.98442, 0.99999, 1.0, 9.9999999, 10.0, 122.0, 51234.56, 99999999.0, 1e8, 1e300]  # fmt: skip
SCORES = st.floats(allow_nan=False, allow_infinity=False) | st.floats(-10, 10) | st.floats(0, 1)


def name(score: float, metric: str = "rmse", trial: int = 7) -> str:
    return str(CheckpointName(metric, score, trial, 1, 12))


def rounded(score: float) -> float:
    return float(f"{score:.{DIGITS - 1}e}")


@pytest.mark.parametrize("metric", METRICS)
def test_names_of_one_metric_sort_as_their_scores(metric: str) -> None:
    names = [name(score, metric) for score in EVERY]
    assert names == sorted(names)
    assert len(set(names)) == len(EVERY)


@given(scores=st.lists(SCORES, min_size=2, max_size=8), metric=st.sampled_from(list(METRICS)))
@example(scores=[0.1, 0.09999999999], metric="r2")
def test_a_plain_sort_is_the_sort_by_score(scores: list[float], metric: str) -> None:
    names = sorted(name(score, metric, trial) for trial, score in enumerate(scores))
    by_score = sorted(range(len(scores)), key=lambda trial: (rounded(scores[trial]), trial))
    parsed = [CheckpointName.parse(one) for one in names]
    assert [one.trial for one in parsed if one] == by_score


@given(score=SCORES, metric=st.sampled_from(list(METRICS)))
@example(score=-122.0, metric="r2")
@example(score=99999999.6, metric="rmse")
@example(score=9.99999999, metric="accuracy")
def test_a_name_says_the_score(score: float, metric: str) -> None:
    text = name(score, metric)
    assert CheckpointName.parse(text) == (metric, rounded(score), 7, 1, 12)
    assert len(text) < 120
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-=")


@given(score=SCORES.filter(lambda s: 1e-290 < abs(s) < 1e290))
def test_scores_that_differ_in_their_sixth_digit_have_names_that_differ(score: float) -> None:
    step = math.copysign(10.0 ** (math.floor(math.log10(abs(score))) - 5), score)
    assert (name(score) < name(score + step)) == (step > 0)
    assert name(score) != name(score + step)


@pytest.mark.parametrize(
    ("old", "score"),
    [
        ("val_accuracy-0.99443_trial-000087_fold-4_epoch-0036.safetensors", 0.99443),
        ("val_rmse-00000012.34568_trial-000087_fold-4_epoch-0036.safetensors", 12.34568),
        ("val_rmse-00000000.00000_trial-000087_fold-4_epoch-0036.safetensors", 0.0),
        ("val_r2--122.25000_trial-000087_fold-4_epoch-0036.safetensors", -122.25),
        ("val_r2--0.50000_trial-000087_fold-4_epoch-0036.safetensors", -0.5),
    ],
)
def test_names_of_version_0_1_0_are_parsed(old: str, score: float) -> None:
    parsed = CheckpointName.parse(old)
    assert parsed is not None
    assert parsed[1:] == (score, 87, 4, 36)


@pytest.mark.parametrize(
    "other",
    ["val_rmse_trial-000087_fold-4_epoch-0036.safetensors", "val_rmse-=1.0_trial-000087_fold-4_epoch-0036.safetensors",
     "val_rmse-nan_trial-000087_fold-4_epoch-0036.safetensors", "../val_rmse-1.0_trial-000087_fold-4_epoch-0036.x"],
)  # fmt: skip
def test_other_names_are_none(other: str) -> None:
    assert CheckpointName.parse(other) is None


@pytest.mark.parametrize(
    ("metric", "score", "written"),
    [
        ("accuracy", 0.98442, "0.98442000"),
        ("log_loss", 0.0, "00000000.000000000000"),
        ("rmse", 1.5, "00000001.5000000"),
        ("rmse", 2.6e-10, "00000000.00000000026000000"),
        ("r2", -122.0, "-49887799999=-122"),
        ("rmse", 1e300, "e80010000000=1e300"),
    ],
)
def test_common_scores_are_plain_numbers(metric: str, score: float, written: str) -> None:
    assert name(score, metric).startswith(f"val_{metric}-{written}_trial-")
