"""What an operator sees of requests: ids, log lines, times by route."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from foldstep.service.contract.logs import ids
from tests.acceptance.processes import until
from tests.service.api.conftest import Master
from tests.service.scenes import Hand, new_search


def metrics(master: Master) -> dict[str, float]:
    """Every sample as `name{labels}`, in the order of the labels' names."""
    found = {}
    for family in text_string_to_metric_families(master.http.get("/metrics").text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def levels(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.levelname for record in caplog.records if record.name.startswith("foldstep")]


def test_an_id_is_taken_and_sent_back_or_made(master: Master) -> None:
    assert master.get("/searches", headers={"X-Request-ID": "mine-7"}).headers["X-Request-ID"] == "mine-7"
    for unusable in ("two words", "a" * 129, ""):
        made = master.get("/searches", headers={"X-Request-ID": unusable}).headers["X-Request-ID"]
        assert re.fullmatch("[0-9a-f]{32}", made)


def test_the_answer_to_a_fault_of_ours_has_the_id_too(master: Master, caplog: pytest.LogCaptureFixture) -> None:
    @master.app.get("/broken")
    def broken() -> None:
        raise RuntimeError("broken")

    master.app.router.routes.insert(0, master.app.router.routes.pop())
    answer = master.http.get("/broken", headers={"X-Request-ID": "mine-8"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (500, "mine-8")
    until(lambda: len(levels(caplog)) >= 2, "the second line, which is written after the answer")
    assert levels(caplog) == ["ERROR", "ERROR"]
    assert metrics(master)["foldstep_request_seconds_count{method=GET,route=/broken,status=500}"] == 1
    assert not [r for r in caplog.records if r.name.startswith("uvicorn")], "nobody else logs it again"


def test_every_request_that_fails_is_logged_with_its_ids(master: Master, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[dict[str, Any]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append({**ids(), **getattr(record, "ids", {}), "said": record.getMessage()})

    handler = Keep()
    logging.getLogger("foldstep.service.api.requests").addHandler(handler)
    try:
        headers = {"X-Request-ID": "mine-9"}
        master.get("/searches/none?token=secret", headers=headers)
        master.http.get("/api/v1/searches", headers={**headers, "Authorization": "Bearer wrong-token"})
        master.post("/leases/5:report", json={}, headers={**headers, "X-Lease-Token": "lease-secret"})
        master.get("/searches", headers=headers)
        until(lambda: len(seen) >= 3, "the lines, which are written after the answers")
    finally:
        logging.getLogger("foldstep.service.api.requests").removeHandler(handler)
    assert [line["status"] for line in seen] == [404, 401, 409]
    assert {line["request"] for line in seen} == {"mine-9"}
    assert seen[0]["said"].startswith("GET /api/v1/searches/{search_id}: not_found: There is no search none")
    assert (seen[0]["search"], seen[2]["lease"]) == ("none", "5")
    assert not any(secret in caplog.text for secret in ("wrong-token", "lease-secret", "token=secret"))


def test_requests_are_counted_by_route_and_not_by_path(master: Master) -> None:
    for name in ("a", "b"):
        master.get(f"/searches/{name}")
        master.http.get(f"/unknown/{name}")
    counts = [
        f"foldstep_request_seconds_count{{method=GET,route={route},status=404}}"
        for route in ("/api/v1/searches/{search_id}", "other")
    ]
    until(lambda: all(metrics(master).get(count, 0) >= 2 for count in counts), "the counts, which follow the answers")
    assert [metrics(master)[count] for count in counts] == [2, 2]


def test_metrics_of_queue_leases_and_work(master: Master) -> None:
    context = master.app.state.context
    new_search(context)
    hand = Hand(context)
    held = hand.take(members=4)
    hand.report(held, steps=10)
    found = metrics(master)
    assert found["foldstep_queue_depth{}"] == found["foldstep_trials{state=waiting}"] == 4
    assert found["foldstep_leases_total{event=granted}"] == found["foldstep_leases_held{}"] == 1
    assert found["foldstep_workers{}"] == found["foldstep_database_up{}"] == 1
    assert found["foldstep_member_steps_per_second{}"] > 0
    assert found["foldstep_planner_seconds_count{method=random}"] == 1
    assert found["process_resident_memory_bytes{}"] > 0
    hand.release(held)
    assert metrics(master)["foldstep_leases_total{event=released}"] == 1


def test_metrics_of_methods_and_sweeps(master: Master) -> None:
    context = master.app.state.context
    new_search(context, method="tpe")
    Hand(context).take()
    found = metrics(master)
    assert found["foldstep_planner_seconds_count{method=tpe}"] == 1
    while not metrics(master)["foldstep_sweep_seconds_count{}"]:
        pass
