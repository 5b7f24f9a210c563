"""Over HTTP: requests that are repeated, reports that end a lease and ask for the next, deaths that are told."""

from __future__ import annotations

from typing import Any

from tests.service.api.conftest import Master
from tests.service.scenes import new_search, result

KEY = "0123456789abcdef"


def register(master: Master, **changes: Any) -> int:
    answer = master.post("/workers", json={"name": "w", "device": "cpu", "version": master.app.version, **changes})
    assert answer.status_code == 201, answer.text
    assert answer.json()["max_body_bytes"] == master.app.state.context.settings.max_body_bytes
    return int(answer.json()["worker"])


def test_lease_report_and_the_next_lease_are_repeated(master: Master) -> None:
    new_search(master.app.state.context, budget={"trials": 4})
    request = {"worker": register(master), "members": 4, "key": KEY}
    first, again = (master.post("/leases", json=request).json() for _ in range(2))
    assert {**first, "expires_at": ""} == {**again, "expires_at": ""}
    results = [result(t["number"]).model_dump(mode="json") for t in first["trials"]]
    sent = {"results": results, "release": {}, "next": {**request, "key": KEY[::-1]}}
    headers = {"X-Lease-Token": first["token"]}
    replies = [master.post(f"/leases/{first['lease']}:report", json=sent, headers=headers) for _ in range(2)]
    following = [reply.json()["lease"] for reply in replies]
    assert following[0]["lease"] == following[1]["lease"] != first["lease"]
    assert following[0]["token"] == following[1]["token"]
    assert following[0]["trials"] == following[1]["trials"]
    for _ in range(2):
        assert master.post(f"/leases/{first['lease']}:release", json={}, headers=headers).status_code == 204


def test_death_is_told_by_number_and_by_key(master: Master) -> None:
    search = new_search(master.app.state.context, budget={"trials": 4})
    worker = register(master, key=KEY)
    for path, body in ((f"/workers/{worker}:died", {"signal": 11}), ("/workers:died", {"key": KEY, "exit_code": 1})):
        assert register(master, key=KEY) == worker
        assert master.post("/leases", json={"worker": worker, "members": 4}).status_code == 200
        assert master.get(f"/searches/{search}").json()["counts"]["running"] > 0
        for _ in range(2):
            assert master.post(path, json=body).status_code == 204
        assert "running" not in master.get(f"/searches/{search}").json()["counts"]
        assert master.post("/leases", json={"worker": worker, "members": 4}).status_code == 404
    assert master.post("/workers/77:died", json={}).status_code == 404
    assert master.post("/workers:died", json={"key": "no-such-key-at-all"}).status_code == 404
    assert master.post("/workers:died", json={"key": "short"}).status_code == 422


def test_key_of_another_submission_is_refused(master: Master) -> None:
    spec = {"name": "wine", "method": "random", "data": {"dataset": "wine"}, "budget": {"trials": 2}}
    spec["parameters"] = {"lr": {"low": 1e-4, "high": 1e-1, "log": True}}
    headers = {"Idempotency-Key": KEY}
    answers = [master.post("/searches", json=spec, headers=headers) for _ in range(2)]
    assert [a.status_code for a in answers] == [202, 202]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert len(master.get("/searches").json()) == 1
    refused = master.post("/searches", json={**spec, "budget": {"trials": 3}}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "key_reused")
    assert answers[0].json()["id"] in refused.json()["detail"]
