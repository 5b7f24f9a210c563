"""The input stage in NumPy against PyTorch, its bins, and its description in a checkpoint."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from foldstep.models.catalog.hyperparameters import NUMBER_EMBEDDINGS
from foldstep.models.columns import InputColumns
from foldstep.models.fnn import forward
from foldstep.models.hyperparameters import resolve
from foldstep.models.input_stage import InputStage, quantile_edges, stage_of
from tests.models.fnn import FNN

N_INPUTS = 7
X = np.random.default_rng(0).normal(size=(300, N_INPUTS)).astype(np.float32)
X[:, 1] = X[:, 1] > 0  # two different values
X[:, 4:6] = X[:, 4:6] > 1  # flags
X[:, 6] = np.random.default_rng(1).integers(0, 9, 300)  # codes
COLUMNS = InputColumns(n_values=(300, 2, 300, 300), flags=(0, 1), codes=(9,))


@pytest.mark.parametrize("shared", ["none", "all"])
@pytest.mark.parametrize("kind", NUMBER_EMBEDDINGS)
def test_the_forward_pass_is_that_of_pytorch(kind: str, shared: str) -> None:
    params = {"number_embedding": kind, "embedding_shared": shared, "input_scale": "trained", "embedding_sigma": 1.0}
    hp = resolve({**params, "missing_value": "trained", "hidden": [7], "embedding_bins": 9}, seed=1)
    stage = stage_of(hp, COLUMNS, X)
    assert stage is not None
    assert stage.embedded == (() if kind == "none" else (0, 2, 3))
    net = FNN(hp, N_INPUTS, 2, stage=stage)
    parts = {name: values + 0.1 * (name not in ("edge", "inverse_width")) for name, values in stage.initial(1).items()}
    weights = [{n: v.detach().numpy() for n, v in linear.named_parameters()} for linear in net.linears]
    weights[0] |= {name: values.astype(np.float32) for name, values in parts.items()}
    net.load(weights)
    x = X.copy()
    x[:, :6] *= 2  # beyond the outer edges, too
    again = InputStage.from_json(json.loads(json.dumps(stage.to_json())))
    assert again == stage
    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()
    outputs = forward(hp, weights, x, again)
    assert outputs.dtype == np.float32
    assert np.abs(outputs - expected).max() <= 64 * np.finfo(np.float32).eps * np.abs(expected).max()


def test_bins_are_the_quantiles_each_once() -> None:
    values = np.round(X[:, 0])
    expected = torch.quantile(torch.from_numpy(values).double(), torch.linspace(0, 1, 8).double()).unique()
    assert quantile_edges(values, 7) == pytest.approx(expected.tolist())


def test_columns_of_few_values_are_not_embedded() -> None:
    hp = resolve({"number_embedding": "pbld", "embedding_min_values": 2})
    stage = stage_of(hp, COLUMNS, X)
    assert stage is not None
    assert stage.embedded == (0, 1, 2, 3)
    few = InputColumns(n_values=(7,))
    assert stage_of(resolve({"number_embedding": "pbld"}), few, X[:, :1]) is None


def test_the_size_is_that_of_the_parts() -> None:
    hp = resolve(
        {"number_embedding": "pbld", "embedding_size": 4, "embedding_frequencies": 16, "category_embedding_size": 2}
    )
    stage = stage_of(hp, COLUMNS, X)
    assert stage is not None
    # for each column 16 frequencies and phases, and a linear map of 16 cosines to 3 values
    assert stage.n_parameters == 3 * (16 + 16 + 16 * 3 + 3) + 9 * 2
    assert stage.n_units == 3 * 4 + 2 + 3
