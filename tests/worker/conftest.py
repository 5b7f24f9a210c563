"""Fixtures of workers between which and their master something stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.processes import results
from tests.worker.desk import SPEC, Desk, opened


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with opened(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The results of a search that nothing disturbs."""
    with opened(tmp_path_factory.mktemp("undisturbed")) as desk:
        search = desk.direct.submit(SPEC).id
        desk.worker()
        desk.ends(search)
        return results(desk.direct, search)
