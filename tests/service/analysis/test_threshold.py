"""Thresholds between two classes: against a search over all of them, and on rows that did not choose them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, matthews_corrcoef

from foldstep.service.analysis.scores import Truth
from foldstep.service.analysis.temperature import Rows
from foldstep.service.analysis.threshold import Part, best, candidates, losses_by, threshold
from foldstep.service.contract.final_spec import CostSpec, ThresholdSpec
from tests.service.analysis.test_temperature import in_fifths

METRICS = {"f1": f1_score, "balanced_accuracy": balanced_accuracy_score, "mcc": matthews_corrcoef,
           "accuracy": accuracy_score}  # fmt: skip


def rare(n: int, seed: int, *, weighted: bool = False) -> Rows:
    """Rows of which some 15 % are of the second class, with their true probabilities."""
    generator = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(2.4 - 1.5 * generator.normal(size=n)))
    weight = generator.uniform(0.2, 3, n) if weighted else None
    return Rows(np.stack([1 - p, p], axis=1), Truth((generator.uniform(size=n) < p).astype(np.int64), weight))


def parts_of(rows: Rows) -> list[Part]:
    return [Part(a, b, b.shares.argmax(axis=1)) for a, b in in_fifths(rows)]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("weighted", [False, True])
def test_no_other_threshold_has_a_better_score(metric: str, weighted: bool) -> None:
    rows = rare(150, 2, weighted=weighted)
    found = best(losses_by(ThresholdSpec(metric=metric)), rows)

    def score(cut: float) -> float:
        said = rows.shares[:, 1] > cut
        return float(METRICS[metric](rows.truth.values, said, sample_weight=rows.truth.weight))

    every = [score(cut) for cut in [0.0, *rows.shares[:, 1]]]  # no others give other classes
    assert score(found) == pytest.approx(max(every))


def test_a_cost_has_the_threshold_of_its_ratio() -> None:
    """Of true probabilities that is false_positive / (false_positive + false_negative)."""
    rows = rare(20_000, 3)
    p = rows.shares[:, 1]
    for false_negative in (1.0, 4.0, 19.0):
        wanted = ThresholdSpec(cost=CostSpec(false_positive=1.0, false_negative=false_negative))
        found, ratio = best(losses_by(wanted), rows), 1 / (1 + false_negative)
        of_cut = {cut: np.where(p > cut, 1 - p, false_negative * p).mean() for cut in (found, ratio)}
        assert of_cut[ratio] <= of_cut[found] <= 1.03 * of_cut[ratio]  # 20,000 rows tell a mean cost to 3 % of it
        assert found == pytest.approx(ratio, abs=0.1)
    said = np.array([[[0.0, 1, 0, 1]]])
    truth = Truth(np.array([1, 0, 0, 1]), np.array([1.0, 1, 1, 3]))
    both = np.concatenate([1 - said, said], axis=1)
    cost = losses_by(ThresholdSpec(cost=CostSpec(false_positive=2.0, false_negative=5.0)))
    assert cost(both, truth) == pytest.approx([(5 + 2) / 6])


def test_it_is_told_with_its_score_on_rows_that_did_not_choose_it() -> None:
    rows = rare(600, 4)
    parts, wanted = parts_of(rows), ThresholdSpec(metric="f1")
    found = threshold(wanted, parts, rows)
    assert found is not None
    said = [part.judged_on.shares[:, 1] > best(losses_by(wanted), part.chosen_on) for part in parts]
    truth = np.concatenate([part.judged_on.truth.values for part in parts])
    assert found.score == pytest.approx(f1_score(truth, np.concatenate(said)))
    assert found.default_score == pytest.approx(f1_score(truth, np.concatenate([part.default for part in parts])))
    assert found.score > found.default_score
    assert found.threshold == found.chosen == best(losses_by(wanted), rows)
    assert found.threshold < 0.45
    assert threshold(wanted, [], rows) is None


def test_where_none_is_better_the_more_probable_class_stays() -> None:
    """For accuracy 1/2 is the best threshold of true probabilities: on rows of their own, others are no better."""
    wanted = ThresholdSpec(metric="accuracy")
    found = [threshold(wanted, parts_of(rows), rows) for rows in (rare(300, seed) for seed in range(20))]
    known = [one for one in found if one is not None]
    left = [one for one in known if one.threshold is None]
    assert len(left) > 10
    assert all(one.score <= one.default_score for one in left)


def test_candidates_lie_between_the_rows() -> None:
    assert candidates(np.array([0.2, 0.4, 0.4, 0.9])) == pytest.approx([0.3, 0.5, 0.65])
    assert candidates(np.array([0.7])) == pytest.approx([0.5])
    assert len(candidates(np.random.default_rng(0).uniform(size=5000))) == 201
