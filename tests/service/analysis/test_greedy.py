"""The greedy choice of an ensemble, on predictions whose best mean is known."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from foldstep.service.analysis.greedy import ROUNDS, Aim, Block, choose, held_out, joined
from foldstep.service.analysis.scores import Truth

RMSE = Aim("rmse", "regression", 10)
N_ROWS = 200


def blocks_of(errors: list[np.ndarray], seed: int = 0, truth: np.ndarray | None = None) -> list[Block]:
    """Folds in which candidate i says the truth plus errors[i]."""
    generator = np.random.default_rng(seed)
    folds = []
    for fold in range(4):
        values = generator.normal(size=N_ROWS) if truth is None else truth
        said = np.stack([values + error[fold * N_ROWS : (fold + 1) * N_ROWS] for error in errors])[:, None]
        folds.append(Block(said.astype(np.float32), Truth(values)))
    return folds


def noise(scale: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, 4 * N_ROWS)


def test_two_that_err_in_opposite_directions_join_in_equal_shares() -> None:
    error = noise(1, 1)
    choice = choose(blocks_of([noise(0.9, 2), error, -error + noise(0.05, 3)]), RMSE)
    assert choice is not None
    assert choice.first == 0
    assert choice.weights[1] == pytest.approx(choice.weights[2], abs=0.1)
    assert choice.weights.get(0, 0) < 0.1
    assert choice.loss < 0.15
    assert choice.alone == pytest.approx(0.9, abs=0.05)


def test_the_loss_is_that_of_the_mean_and_no_other_candidate_would_have_been_better() -> None:
    """Each round by brute force, from the definition."""
    blocks = blocks_of([noise(1, s) + noise(0.5, 99) for s in range(5)])
    choice = choose(blocks, RMSE)
    assert choice is not None
    loss = np.mean([np.sqrt(((joined(b, choice.weights)[0, 0] - b.truth.values) ** 2).mean()) for b in blocks])
    assert choice.loss == pytest.approx(float(loss), rel=1e-9)

    def of(mix: tuple[int, ...]) -> float:
        means = [b.said[list(mix), 0].mean(axis=0, dtype=np.float64) - b.truth.values for b in blocks]
        return float(np.mean([np.sqrt((mean**2).mean()) for mean in means]))

    mix: tuple[int, ...] = ()
    for _ in range(sum(choice.times.values())):
        mix = min(((*mix, i) for i in range(5)), key=of)
    assert sorted(set(mix)) == sorted(choice.times)
    assert choice.loss == pytest.approx(of(mix), rel=1e-6)
    assert choice.loss < min(of((i,)) for i in range(5))
    assert choice.loss == pytest.approx(min(map(of, product(range(5), repeat=2))), rel=0.2)


def test_an_ensemble_has_no_more_members_than_it_may_and_no_more_rounds_than_enough() -> None:
    blocks = blocks_of([noise(1, s) for s in range(8)])
    for members in (1, 2, 3):
        choice = choose(blocks, RMSE._replace(members=members))
        assert choice is not None
        assert len(choice.times) == members
        assert sum(choice.times.values()) <= ROUNDS
    whole = choose(blocks, RMSE)
    assert whole is not None
    assert len(whole.times) >= 6  # all eight are equally good, and the last ones bring little


def test_a_candidate_without_a_score_never_joins() -> None:
    broken = noise(0.1, 1)
    broken[::N_ROWS] = np.nan  # in every fold
    choice = choose(blocks_of([broken, noise(1, 2), noise(1, 3)]), RMSE)
    assert choice is not None
    assert 0 not in choice.times
    everything = choose(blocks_of([broken, broken]), RMSE)
    assert everything is None
    assert held_out(blocks_of([broken, broken]), RMSE, by_fold=True) is None


@pytest.mark.parametrize("by_fold", [True, False])
def test_held_out_rows_show_what_was_luck(by_fold: bool) -> None:
    """Of fifty that guess, the luckiest seem to know something; on rows that did not choose them, none does."""
    generator = np.random.default_rng(8)
    blocks = []
    for _ in range(4):
        p = generator.uniform(size=(50, N_ROWS))
        blocks.append(Block(np.stack([1 - p, p], axis=1), Truth(generator.integers(0, 2, N_ROWS))))
    aim = Aim("accuracy", "classification", 10)
    choice, guard = choose(blocks, aim), held_out(blocks, aim, by_fold=by_fold)
    assert choice is not None
    assert guard is not None
    assert choice.loss < -0.55
    assert choice.alone < -0.53
    assert guard.ensemble == pytest.approx(-0.5, abs=0.04)  # 800 rows: a standard error of 0.018
    assert guard.alone == pytest.approx(-0.5, abs=0.04)


@pytest.mark.parametrize("by_fold", [True, False])
def test_held_out_rows_show_what_is_none(by_fold: bool) -> None:
    """Errors of their own average out there, too; an error that all have in common does not."""
    common = noise(1, 50)
    guard = held_out(blocks_of([common + noise(0.001, s) for s in range(50)]), RMSE, by_fold=by_fold)
    assert guard is not None
    assert guard.ensemble == pytest.approx(guard.alone, rel=1e-3)
    guard = held_out(blocks_of([noise(1, s) for s in range(50)]), RMSE, by_fold=by_fold)
    assert guard is not None
    assert guard.ensemble < 0.6 * guard.alone


def test_classes_and_a_fold_without_a_score() -> None:
    """A fold whose rows are all of one class has no area under the curve; the others decide."""
    generator = np.random.default_rng(7)
    truth = generator.integers(0, 2, N_ROWS)
    blocks = []
    for fold in range(3):
        values = np.zeros(N_ROWS, np.int64) if fold == 2 else truth
        logit = np.stack([(2 * values - 1) * 0.5 + generator.normal(0, 1, N_ROWS) for _ in range(4)])
        p = 1 / (1 + np.exp(-logit))
        blocks.append(Block(np.stack([1 - p, p], axis=1), Truth(values)))
    choice = choose(blocks, Aim("roc_auc", "classification", 10))
    assert choice is not None
    assert len(choice.times) >= 3
    assert choice.loss < choice.alone < -0.6
