"""Tokens: each allows its scopes and nothing else, until it ends or is revoked; the database knows a digest alone."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from foldstep.service.auth.policy import scopes_for
from foldstep.service.contract.tokens import PREFIX, Scope
from tests.acceptance.processes import foldstep, until
from tests.service.conftest import PostgresServer
from tests.service.doors.conftest import Build, House

BASE = "/api/v1"
SPEC = {"name": "t", "data": {"dataset": "iris"}, "parameters": {"epochs": 1}, "budget": {"trials": 1}}


def made(house: House, *scopes: str, **more: object) -> tuple[str, httpx.Client]:
    """Make a token; return its id and a client that shows it."""
    answer = house.http.post(f"{BASE}/tokens", json={"name": "of a test", "scopes": scopes, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"], house.client(answer.json()["token"])


CALLS = {
    ("GET", "/searches"): "read submit admin",
    ("GET", "/workers"): "read submit admin",
    ("GET", "/../../metrics"): "read submit admin",
    ("POST", "/searches:validate"): "read submit admin",
    ("POST", "/searches/x/predict"): "read submit admin",
    ("POST", "/searches"): "submit admin",
    ("DELETE", "/searches/x"): "submit admin",
    ("POST", "/searches/x:stop"): "submit admin",
    ("POST", "/datasets"): "submit admin",
    ("PUT", "/files/x"): "submit admin",
    ("POST", "/leases"): "worker admin",
    ("POST", "/leases/1:report"): "worker admin",
    ("POST", "/workers"): "worker admin",
    ("GET", "/datasets/x/file"): "read submit worker admin",
    ("GET", "/tokens"): "admin",
    ("POST", "/tokens"): "admin",
    ("DELETE", "/tokens/x"): "admin",
    ("POST", "/what-will-come"): "admin",
}


@pytest.mark.parametrize("scope", list(Scope))
def test_a_token_does_what_its_scopes_allow_and_no_more(house: House, scope: Scope) -> None:
    _, client = made(house, scope)
    for (method, path), scopes in CALLS.items():
        url = path.replace("/../..", "") if ".." in path else f"{BASE}{path}"
        answer = client.request(method, url, json={})
        if scope in scopes.split():
            assert answer.status_code not in (401, 403, 429), (method, path, answer.text)
        else:
            assert answer.status_code == 403, (method, path, answer.text)
            assert answer.json()["code"] == "forbidden"
            assert f"yours has {scope}" in answer.json()["detail"]


def test_every_call_of_the_api_has_a_scope(house: House) -> None:
    for path, methods in house.http.get("/openapi.json").json()["paths"].items():
        for method in methods:
            scopes = scopes_for(method.upper(), path.replace("{", "").replace("}", ""))
            assert Scope.ADMIN in scopes
            if path.startswith(f"{BASE}/tokens"):
                assert scopes == {Scope.ADMIN}
            changes = method != "get" and not path.endswith(("/searches:validate", "/predict"))
            if changes and not path.startswith(f"{BASE}/session"):
                assert Scope.READ not in scopes, (method, path)


def test_a_revoked_token_and_one_whose_time_is_up_are_nobodys(house: House) -> None:
    token_id, client = made(house, "read")
    assert client.get(f"{BASE}/searches").status_code == 200
    assert house.http.delete(f"{BASE}/tokens/{token_id}").status_code == 204
    assert client.get(f"{BASE}/searches").status_code == 401
    assert house.http.delete(f"{BASE}/tokens/{token_id}").status_code == 404
    _, short = made(house, "read", expires_in=1.5)
    assert short.get(f"{BASE}/searches").status_code == 200
    time.sleep(1.6)  # until its end
    assert short.get(f"{BASE}/searches").status_code == 401


def test_the_database_and_the_lists_hold_no_secret(house: House) -> None:
    answer = house.http.post(f"{BASE}/tokens", json={"name": "secret", "scopes": ["read"]}).json()
    assert answer["token"].startswith(PREFIX)
    link = house.http.post(f"{BASE}/session-links").json()
    assert answer["token"] not in house.http.get(f"{BASE}/tokens").text
    connection = sqlite3.connect(house.data_dir / "foldstep.db")
    dump = "\n".join(connection.iterdump())
    connection.close()
    assert answer["id"] in dump
    for secret in (answer["token"], answer["token"].removeprefix(PREFIX), link["code"], house.token):
        assert secret not in dump


@pytest.mark.parametrize(
    "sent",
    [{"name": "x"}, {"name": "x", "scopes": []}, {"name": "x", "scopes": ["root"]}, {"name": "", "scopes": ["read"]},
     {"name": "<b>", "scopes": ["read"]}, {"name": "x", "scopes": ["read"], "expires_in": -1},
     {"name": "x", "scopes": ["read"], "expires_in": 1e300}, {"name": "x", "scopes": ["read"], "expires_in": "soon"}],
)  # fmt: skip
def test_what_is_no_token_is_refused_in_words(house: House, sent: dict[str, object]) -> None:
    answer = house.http.post(f"{BASE}/tokens", json=sent)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


def run(house: House, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return foldstep(*words, "--dir", str(house.data_dir), cwd=house.data_dir, **more)


def test_the_command_line_makes_lists_and_revokes_tokens(house: House, tmp_path: Path) -> None:
    done = run(house, "tokens", "create", "laptop", "--scope", "read", "--expires", "1d")
    assert done.returncode == 0, done.stderr
    token = done.stdout.strip()
    assert token.startswith(PREFIX)
    assert "laptop, for read, until 2" in done.stderr
    (listed,) = [t for t in json.loads(run(house, "tokens", "list", "--json").stdout) if t["name"] == "laptop"]
    assert listed["scopes"] == ["read"]
    (tmp_path / "mine").write_text(token)
    words = ("--url", house.url, "--token-file", "mine")
    assert foldstep("searches", *words, cwd=tmp_path).returncode == 0
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    refused = foldstep("submit", "spec.json", *words, cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith("forbidden: This call needs a token with the scope submit or admin")
    assert "laptop" in run(house, "tokens", "list").stdout
    assert run(house, "tokens", "revoke", listed["id"]).returncode == 0
    assert "unauthorized" in foldstep("searches", *words, cwd=tmp_path).stderr
    assert "not_found" in run(house, "tokens", "revoke", listed["id"]).stderr
    assert "invalid_input" in run(house, "tokens", "create", "x", "--scope", "read", "--expires", "soon").stderr


@pytest.mark.parametrize(
    "name", ["token", "./token", "foldstep.db", "foldstep.db-wal", "master.lock", "address", "link.csv"]
)
def test_who_may_submit_cannot_read_the_masters_own_files_as_data(house: House, name: str) -> None:
    _, client = made(house, "submit")
    link = house.data_dir / "link.csv"
    if not link.exists():
        link.symlink_to(house.data_dir / "token")
    for source in (name, str(house.data_dir / name), f"master:{name}"):
        for sent in (
            {"name": "secret", "source": source},
            {"name": "secret", "source": source, "options": {"header": False}},
        ):
            answer = client.post(f"{BASE}/datasets", json=sent)
            assert answer.status_code in (403, 422), answer.text
            assert house.token not in answer.text
        answer = client.post(f"{BASE}/searches:validate", json={**SPEC, "data": {"dataset": source, "target": "x"}})
        assert answer.status_code in (403, 422)
        assert house.token not in answer.text


def test_masters_of_one_database_know_each_others_tokens_and_sessions(build: Build, postgres: PostgresServer) -> None:
    url = postgres.create("doors", "original")
    one, other = (build(FOLDSTEP_DATABASE_URL=url, FOLDSTEP_TOKEN="t" * 40) for _ in range(2))
    token_id, client = made(one, "read")
    elsewhere = other.client(client.headers["authorization"].removeprefix("Bearer "))
    assert elsewhere.get(f"{BASE}/searches").status_code == 200, "at once"
    code = one.http.post(f"{BASE}/session-links").json()["code"]
    browser = other.client()
    assert browser.post(f"{BASE}/session", json={"code": code}).status_code == 200
    assert one.stranger.post(f"{BASE}/session", json={"code": code}).status_code == 401, "once, on whichever master"
    assert one.http.delete(f"{BASE}/tokens/{token_id}").status_code == 204
    assert client.get(f"{BASE}/searches").status_code == 401
    until(lambda: elsewhere.get(f"{BASE}/searches").status_code == 401, "the end of the token on the other master")
