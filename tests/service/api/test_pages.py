"""Lists come in pages that name the next one; the client collects them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from foldstep.calls import base
from foldstep.client import Foldstep
from foldstep.service.contract.lease import WorkerRegistration
from foldstep.service.contract.version import __version__
from foldstep.service.flow.register import register_worker
from tests.service.api.conftest import Master
from tests.service.scenes import new_search


def pages(master: Master, path: str, **params: Any) -> list[list[Any]]:
    """Follow a list to its end."""
    found, following = [], f"/api/v1{path}?" + "&".join(f"{k}={v}" for k, v in params.items())
    while following:
        answer = master.http.get(following)
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        following = answer.links["next"]["url"] if answer.links else ""
    return found


@pytest.fixture
def full(master: Master) -> Master:
    """A master with seven searches, workers and data sets."""
    context = master.app.state.context
    for i in range(7):
        new_search(context, name=f"s{i}")
        register_worker(context, WorkerRegistration(name=f"w{i}", device="cpu", version=__version__))
    assert master.post("/datasets", json={"name": "d0", "source": "iris"}).status_code == 201
    with context.database.write() as connection:
        for name in ("d1", "d2"):
            copied = "SELECT :name, fingerprint, description, created_at FROM datasets WHERE name = 'd0'"
            columns = "name, fingerprint, description, created_at"
            connection.execute(text(f"INSERT INTO datasets ({columns}) {copied}"), {"name": name})
    return master


LISTS = {
    "/searches": [f"s{i}" for i in reversed(range(7))],
    "/workers": [f"w{i}" for i in reversed(range(7))],
    "/datasets": ["d0", "d1", "d2"],
}


def test_pages_have_every_row_once(full: Master) -> None:
    for path, expected in LISTS.items():
        for limit in (1, 3, 7, 100):
            found = pages(full, path, limit=limit)
            assert [row["name"] for page in found for row in page] == expected
            assert all(len(page) == limit for page in found[:-1])
            assert 0 < len(found[-1]) <= limit


@pytest.mark.parametrize("path", ["/searches", "/workers", "/datasets"])
@pytest.mark.parametrize("cursor", ["x", "W10=", "WyJhIiwgImIiLCAiYyJd", "eyJhIjogMX0=", "WzFlOTk5XQ=="])
def test_a_cursor_of_another_list_is_refused(master: Master, path: str, cursor: str) -> None:
    answer = master.get(path, params={"cursor": cursor})
    assert (answer.status_code, answer.json()["faults"][0]["code"]) == (422, "bad_cursor")


def test_the_client_collects_all_pages(full: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_ROWS_OF_A_PAGE", 2)
    foldstep = Foldstep(full.url, "secret")
    assert [s.name for s in foldstep.searches()] == [f"s{i}" for i in reversed(range(7))]
    assert len(foldstep.workers()) == 7
    assert [d.name for d in foldstep.datasets()] == ["d0", "d1", "d2"]
    foldstep.close()
