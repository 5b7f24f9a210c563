"""Networks that no device holds: estimated from the space and the data, and refused before anything is trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.errors import Fault
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.size import COPIES, NetworkSizes
from foldstep.service.data.ingest import ingest
from foldstep.service.data.sources import BUNDLED_TARGET
from tests.models.fnn import FNN
from tests.worker.train.data import source

LARGE = {"number_embedding": "plr", "embedding_size": 256, "embedding_frequencies": [16, 512], "width": 64}
MIB = 1 << 20


@pytest.fixture(scope="module")
def wine(tmp_path_factory: pytest.TempPathFactory) -> NetworkSizes:
    description = ingest("wine", into=tmp_path_factory.mktemp("wine"))
    features = [column for column in description.columns if column.name != BUNDLED_TARGET]
    return NetworkSizes(features, 3, description.n_rows)


def faults(sizes: NetworkSizes, most_bytes: int, **parameters: Any) -> list[Fault]:
    space = parse_spec({"name": "t", "data": {"dataset": "wine"}, "parameters": parameters}).space
    return list(sizes.faults(space, most_bytes))


def refused(sizes: NetworkSizes, most_bytes: int, **parameters: Any) -> Fault:
    (fault,) = faults(sizes, most_bytes, **parameters)
    return fault


def test_embeddings_that_do_not_fit_are_refused(wine: NetworkSizes) -> None:
    # 13 columns of 1,024 features and 256 values: 3.4 million numbers, and 213,000 weights of the first layer, seven of
    # each; and two numbers for each of 37,000 values of the 128 rows of a batch
    fault = refused(wine, 50 * MIB, **LARGE)
    assert (fault.code, fault.path) == ("too_large", "parameters.embedding_size")
    assert fault.expected == "networks that train in at most 50 MiB of memory"
    assert fault.got == "about 132 MiB, embedding_size 256, embedding_frequencies 512, number_embedding plr"
    assert fault.hint == (
        "take smaller embeddings, or embedding_shared: all; or set FOLDSTEP_NETWORK_BYTES where the workers have more "
        "memory"
    )
    for fits in ({"embedding_frequencies": 16}, {"embedding_shared": "all"}, {"number_embedding": "none"}):
        assert faults(wine, 50 * MIB, **(LARGE | fits)) == []
    assert faults(wine, 200 * MIB, **LARGE) == []


def test_layers_that_do_not_fit_are_refused(wine: NetworkSizes) -> None:
    fault = refused(wine, 1 << 35, depth=64, width=[64, 65536])  # 63 layers of 4.3 thousand million weights
    assert (fault.code, fault.path) == ("too_large", "parameters.width")
    assert "width 65536, depth 64" in fault.got


def test_wide_layers_are_refused_beside_deep_ones_that_fit(wine: NetworkSizes) -> None:
    # of one input and one class the first network has 60,001 weights and the second 85,261; of 13 and 3, as here, they
    # have 340,003 and 89,323
    fault = refused(wine, 8 * MIB, hidden=[[20_000], [290, 290]])
    assert fault.got == "about 28 MiB, hidden [20000]"


def test_one_large_choice_of_very_many_is_refused(wine: NetworkSizes) -> None:
    many = [*([n, n] for n in range(1, 301)), [4_000, 4_000]]
    fault = refused(wine, 100 * MIB, hidden=many, width_1={"low": 4, "high": 4_000})
    assert "hidden [4000, 4000]" in fault.got


def test_a_batch_that_does_not_fit_is_what_is_named(wine: NetworkSizes) -> None:
    fault = refused(wine, MIB, hidden=[1_000], batch_size=1_000)
    assert fault.path == "parameters.batch_size"
    assert str(fault.hint).startswith("take a smaller batch_size; or set")


@pytest.mark.parametrize(
    "parameters",
    [
        {"hidden": [17, 8], "norm": "batch"},
        {"number_embedding": "plr", "embedding_size": 6, "input_scale": "trained"},
        {"number_embedding": "pbld", "embedding_shared": "all", "hidden": []},
        {"number_embedding": "piecewise", "embedding_bins": 10, "activation_trained": "unit"},
    ],
)
def test_the_estimate_counts_the_weights_that_are_trained(wine: NetworkSizes, parameters: dict[str, Any]) -> None:
    hp = resolve({"batch_size": 1, **parameters})
    data = source("wine").fold(0, hp.preparation)
    net = FNN(hp, data.n_inputs, 3, torch.float32, data.stage(hp), data.x_train)
    n_weights = sum(p.numel() for p in net.parameters())
    estimate = wine.bytes_of(hp)
    assert 0 <= estimate - 4 * COPIES * n_weights < 10_000, "the values of one row, which are few"
