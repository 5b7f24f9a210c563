"""Every call with data that fit the OpenAPI description, and with data that do not: all checks of schemathesis hold."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from foldstep.service.app import create_app
from foldstep.service.settings import Settings
from tests.service.api.conftest import AUTHORIZED, Master, served

N_EXAMPLES = 3
_CURSOR = "a cursor is one that a page before gave"
BY_CONTENT = {
    ("GET", "/api/v1/datasets"): _CURSOR,
    ("GET", "/api/v1/searches"): _CURSOR,
    ("GET", "/api/v1/searches/{search_id}/leaderboard"): _CURSOR,
    ("GET", "/api/v1/workers"): _CURSOR,
    ("PUT", "/api/v1/files/{sha256}"): "the body must have the SHA-256 of the address",
    ("POST", "/api/v1/datasets"): "the source must be a table",
    ("POST", "/api/v1/datasets:upload"): "the file must be a table",
    ("POST", "/api/v1/datasets/{name}:replace"): "the source must be a table",
    ("POST", "/api/v1/searches"): "a spec has rules beyond a schema",
    ("POST", "/api/v1/searches:validate"): "a spec has rules beyond a schema",
    ("POST", "/api/v1/searches/{search_id}/predict"): "rows have the columns that networks were trained on",
    ("POST", "/api/v1/leases/{lease_id}:report"): "a probe has five numbers, and five for each layer",
    ("POST", "/api/v1/session"): "a code or a token, and not both",
}
"""Calls that may refuse, with 422, data that fit their schema: what must hold besides no schema can say."""


for binary in ("application/x-tar", "application/vnd.apache.parquet"):
    schemathesis.serializer.alias(binary, "application/octet-stream")


def described() -> Any:
    """Read the description that the master serves."""
    with tempfile.TemporaryDirectory() as folder:
        schema = schemathesis.openapi.from_dict(create_app(Settings(data_dir=Path(folder), token="secret")).openapi())
    schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    return schema


SCHEMA = described()


@pytest.fixture(scope="module")
def open_master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    folder = tmp_path_factory.mktemp("master")
    (folder / "roots").mkdir()
    (folder / "roots" / "t.csv").write_text("a,b,kind\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(60)))
    with served(
        Settings(
            data_dir=folder / "data",
            data_roots=(folder / "roots",),
            token="secret",
            max_calls_per_s=1_000_000,
            wrong_tokens_per_minute=1_000_000,
        )
    ) as master:
        yield master


@SCHEMA.parametrize()
@settings(
    max_examples=N_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_master_does_what_its_description_says(case: schemathesis.Case, open_master: Master) -> None:
    is_by_content = (case.method, case.path) in BY_CONTENT
    excluded = [positive_data_acceptance] if is_by_content else []
    case.call_and_validate(base_url=open_master.url, headers=AUTHORIZED, timeout=30, excluded_checks=excluded)
