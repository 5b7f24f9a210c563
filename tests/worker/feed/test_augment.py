"""Masks and mixup: what a batch becomes, whatever columns fill it up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from foldstep.models.columns import InputColumns
from foldstep.models.hyperparameters import resolve
from foldstep.models.streams import MIXING, Stream
from foldstep.worker.feed.augment import Augmentation, Draws, Fed, augmented
from tests.worker.train.data import source

CLASSES = source("wine").fold(0, resolve({}).preparation)
COUNTS = source("diabetes", exposure=True).fold(0, resolve({"loss": "poisson"}).preparation)


def draws(columns: int) -> Draws:
    """Of two batches, of 7 and of 3 rows."""
    is_real = np.arange(columns) < np.array([[7], [3]])
    return Draws(Stream(5, 1, 7), 2, is_real)


def fed(columns: int, n_inputs: int = 13) -> Fed:
    numbers = np.random.default_rng(0)
    x, targets = np.zeros((2, columns, 16)), np.zeros((2, 3, columns))
    x[:, :7, :n_inputs], targets[:, :, :7] = numbers.random((2, 7, n_inputs)), numbers.random((2, 3, 7))
    x[1, 3:], targets[1, :, 3:] = 0, 0
    return Fed(torch.from_numpy(x), torch.from_numpy(targets), torch.ones(2, columns))


def test_every_row_has_another_row_of_its_batch_as_partner() -> None:
    partners = draws(16).partners(MIXING)
    for of_batch, n_rows in zip(partners, (7, 3), strict=True):
        assert sorted(of_batch[:n_rows]) == list(range(n_rows))
        assert all(of_batch[:n_rows] != np.arange(n_rows))
        assert of_batch[n_rows:].tolist() == list(range(n_rows, 16))


@pytest.mark.parametrize("of", [Augmentation(0.3, 0.0), Augmentation(0.0, 0.4), Augmentation(0.3, 0.4)], ids=repr)
def test_columns_that_fill_up_a_batch_change_nothing(of: Augmentation) -> None:
    short, long = (augmented(of, draws(columns), fed(columns), CLASSES) for columns in (8, 16))
    assert torch.equal(short[0], long[0][:, :8])
    assert torch.equal(short[1], long[1][..., :8])
    assert not long[0][1, 3:].any()
    assert not torch.equal(short[0], fed(8)[0])


def test_about_the_share_is_masked_by_values_of_the_same_column() -> None:
    is_real = np.ones((50, 128), dtype=bool)
    x = torch.arange(50 * 128 * 13, dtype=torch.float64).view(50, 128, 13)
    drawn = Draws(Stream(1, 0, 128), 1, is_real)
    ones = torch.ones(50, 1, 1)
    masked, targets, _ = augmented(Augmentation(0.3), drawn, Fed(x, ones, ones[0]), CLASSES)
    changed = masked != x
    assert abs(changed.double().mean().item() - 0.3) < 0.01  # 83,200 draws: beyond six standard deviations
    assert torch.equal(masked[changed] % 13, x[changed] % 13)
    assert torch.equal(masked // (128 * 13), x // (128 * 13)), "of the same batch"
    assert torch.equal(targets, ones)


def test_exposures_are_mixed_not_their_logs() -> None:
    x, targets, weights = fed(8, COUNTS.n_inputs)
    targets = targets[:, :2]
    _, mixed, _ = augmented(Augmentation(0.0, 0.4), draws(8), Fed(x, targets, weights), COUNTS)
    share = draws(8).mixing_shares(0.4)[0]
    partners = draws(8).partners(MIXING)[0][:7]
    values, exposures = targets[0, 0, :7].numpy(), np.exp(targets[0, 1, :7].numpy())
    np.testing.assert_allclose(mixed[0, 0, :7], share * values + (1 - share) * values[partners])
    np.testing.assert_allclose(mixed[0, 1, :7].exp(), share * exposures + (1 - share) * exposures[partners])


def test_columns_of_one_column_of_the_table_are_masked_together() -> None:
    columns = InputColumns(n_values=(99, 99, 99), flags=(2, 0), one_hot=(2, 3), codes=(7, 9))
    assert columns.sources == [0, 1, 2, 2, 0, 3, 3, 4, 4, 4, 5, 6]


def test_a_code_is_never_mixed() -> None:
    x, targets, weights = fed(8)
    columns = InputColumns(n_values=(99,) * 12, codes=(9,))
    x[..., 12] = torch.arange(8)
    data = SimpleNamespace(columns=columns, target=CLASSES.target, weight_train=None)
    mixed, _, _ = augmented(Augmentation(0.0, 0.4), draws(8), Fed(x, targets, weights), data)  # type: ignore[arg-type]
    partners, shares = draws(8).partners(MIXING), draws(8).mixing_shares(0.4)
    for step, share in enumerate(shares):
        expected = np.arange(8) if share >= 0.5 else partners[step]
        assert mixed[step, :, 12].tolist() == expected.tolist()
    assert not torch.equal(mixed[..., :12], x[..., :12])
