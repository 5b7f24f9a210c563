"""Every error is a problem document with a stable code; nothing under the API answers without the token."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from foldstep.service.api.problems import MEDIA_TYPE, STATUS
from foldstep.service.contract import errors
from foldstep.service.contract.errors import FoldstepError, error_from_problem
from tests.service.api.conftest import Master, Serve
from tests.service.scenes import spec


def classes(cls: type[FoldstepError] = FoldstepError) -> list[type[FoldstepError]]:
    return [cls, *(c for direct in cls.__subclasses__() for c in classes(direct))]


def check_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["type"] == f"urn:foldstep:problem:{code}"
    assert problem["detail"].endswith(".")
    assert "Traceback" not in answer.text
    return problem


def test_every_class_of_error_has_a_status() -> None:
    assert set(STATUS) == set(classes())
    assert all(
        400 <= STATUS[cls] < 500
        for cls in classes()
        if cls is not FoldstepError and not issubclass(cls, errors.Unavailable)
    )


def test_codes_are_unique_and_come_back_as_the_same_class() -> None:
    assert len({cls.code for cls in classes()}) == len(classes())
    for cls in classes():
        assert type(error_from_problem({"code": cls.code, "detail": "x"})) is cls


def operations(master: Master) -> list[tuple[str, str]]:
    """Every (method, path) of the documented API; a test below holds that no route is left out of it."""
    paths = master.http.get("/openapi.json").json()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


OPEN = {("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/api/v1/session")}


def test_every_route_of_the_api_wants_the_token(serve: Serve) -> None:
    master = serve(wrong_tokens_per_minute=10_000)
    guarded = [o for o in operations(master) if o not in OPEN]
    assert len(guarded) > 25
    wrong = [{}, *({"Authorization": value} for value in ("Bearer wrong", "Bearer", "Basic secret", "secret"))]
    with httpx.Client(base_url=master.url, trust_env=False) as stranger:
        for method, path in guarded:
            for headers in wrong:
                answer = stranger.request(method, path.replace("{lease_id}", "1"), headers=headers)
                check_problem(answer, 401, "unauthorized")
                assert answer.headers["www-authenticate"] == "Bearer"


def test_no_route_is_hidden_from_the_documentation(master: Master) -> None:
    hidden = [r.path for r in master.app.routes if isinstance(r, APIRoute) and not r.include_in_schema]
    assert hidden == []


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/docs"])
def test_open_pages_want_no_token(master: Master, path: str) -> None:
    assert httpx.get(master.url + path, trust_env=False).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "not_found"),
        ("GET", "/api/v1/nope", 404, "not_found"),
        ("GET", "/api/v1/searches/nope", 404, "not_found"),
        ("GET", "/api/v1/searches/nope/leaderboard", 404, "not_found"),
        ("GET", "/api/v1/datasets/nope", 404, "not_found"),
        ("GET", "/api/v1/datasets/nope/file", 404, "not_found"),
        ("GET", "/api/v1/datasets/..%2F..%2Ftoken/file", 404, "not_found"),
        ("PUT", "/api/v1/searches", 405, "method_not_allowed"),
        ("POST", "/api/v1/searches/nope:pause", 404, "not_found"),
        ("DELETE", "/api/v1/searches/nope", 404, "not_found"),
        ("GET", "/api/v1/searches/nope/trials/x", 404, "not_found"),
        ("GET", "/api/v1/searches/{search}/trials/x", 422, "invalid_input"),
        ("GET", "/api/v1/searches/{search}/trials/99999999999999999999", 422, "invalid_input"),
        ("GET", "/api/v1/searches/{search}/leaderboard?limit=0", 422, "invalid_input"),
        ("GET", "/api/v1/searches/{search}/leaderboard?order_by=luck", 422, "invalid_input"),
    ],
)
def test_errors_of_paths(master: Master, method: str, path: str, status: int, code: str) -> None:
    if "{search}" in path:
        path = path.format(search=master.post("/searches", json=spec()).json()["id"])
    check_problem(master.http.request(method, path), status, code)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b"", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"[" * 100_000, "application/yaml"),
        (b"a: b: c", "application/yaml"),
        (b"just text", "application/yaml"),
        (b"", "application/yaml"),
        (b"3", "application/json"),
        (b'{"name": NaN}', "application/json"),
    ],
)
def test_unreadable_specs(master: Master, body: bytes, content_type: str) -> None:
    answer = master.post("/searches", content=body, headers={"Content-Type": content_type})
    assert check_problem(answer, 422, "spec_invalid")["faults"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"worker": "x", "members": 0}'])
def test_unreadable_bodies_of_other_calls(master: Master, body: bytes) -> None:
    answer = master.post("/leases", content=body, headers={"Content-Type": "application/json"})
    assert check_problem(answer, 422, "invalid_input")["faults"]


def test_body_that_is_no_text(master: Master) -> None:
    answer = master.post("/leases", content=b"\xff", headers={"Content-Type": "application/json"})
    (fault,) = check_problem(answer, 422, "invalid_input")["faults"]
    assert (fault["code"], fault["path"]) == ("not_json", "body")


def test_faults_of_a_body_have_paths(master: Master) -> None:
    answer = master.post(
        "/leases/1:report", json={"results": [{"trial": "one"}], "extra": 1}, headers={"X-Lease-Token": "x"}
    )
    paths = {f["path"] for f in check_problem(answer, 422, "invalid_input")["faults"]}
    assert {"results.0.trial", "results.0.folds", "extra"} <= paths


def test_bodies_that_are_too_large(serve: Serve) -> None:
    master = serve(max_body_bytes=1000, max_upload_bytes=2000)
    big = json.dumps(spec(name="x" * 1000)).encode()
    check_problem(master.post("/searches", content=big), 413, "too_large")
    check_problem(master.post("/searches", content=iter([big[:500], big[500:]])), 413, "too_large")
    token = {"X-Lease-Token": "x"}
    path = "/api/v1/leases/1/snapshots/pack.safetensors"
    check_problem(master.http.put(path, content=b"x" * 2001, headers=token), 413, "too_large")
    check_problem(master.http.put(path, content=b"x" * 1999, headers=token), 409, "lease_lost")


def test_fault_of_the_master_is_logged_and_not_shown(master: Master, caplog: pytest.LogCaptureFixture) -> None:
    del master.app.state.context
    with caplog.at_level(logging.ERROR):
        problem = check_problem(master.get("/searches"), 500, "internal_error")
    number = problem["detail"].rstrip(".").rpartition(" ")[2]
    assert any(number in record.getMessage() for record in caplog.records)
