"""Without a token nobody gets further than the guard, and nobody keeps others out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from tests.service.doors.conftest import Build, House
from tests.service.doors.strangers import connected, head, status, told

FOREIGN = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}


@pytest.fixture(scope="module")
def narrow(build: Build) -> House:
    """A master with few connections and little patience."""
    return build(FOLDSTEP_MAX_CONNECTIONS="20", FOLDSTEP_HEAD_TIMEOUT_S="3")


def test_half_open_requests_lock_nobody_out(narrow: House) -> None:
    begun = [connected(narrow.url) for _ in range(60)]
    for connection in begun:
        connection.sendall(b"GET /healthz HTT")
    for _ in range(3):
        with narrow.client(narrow.token) as client:
            assert client.get("/api/v1/searches").status_code == 200
    assert [told(connection) for connection in begun] == [b""] * 60, "each is closed, at the latest after the timeout"
    for connection in begun:
        connection.close()


def test_a_slow_second_request_of_a_connection_is_closed_too(narrow: House) -> None:
    with connected(narrow.url) as connection:
        connection.sendall(head("GET", "/healthz"))
        answer = b""
        while not answer.endswith(b'{"status":"ok"}'):
            answer += connection.recv(1 << 16)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost")
        assert told(connection) == b""


def test_bodies_that_trickle_and_answers_that_nobody_reads_lock_nobody_out(narrow: House) -> None:
    trickling = [connected(narrow.url) for _ in range(30)]
    for connection in trickling:
        connection.sendall(head("POST", "/api/v1/session", Content_Length="1000") + b"{")
    deaf = [connected(narrow.url) for _ in range(30)]
    for connection in deaf:
        connection.sendall(20 * head("GET", "/swagger-ui-bundle.js"))
    for _ in range(3):
        with narrow.client(narrow.token) as client:
            assert client.get("/api/v1/searches").status_code == 200
            client.get("/page.js")
    for connection in (*trickling, *deaf):
        connection.close()


def test_a_long_upload_goes_on_while_strangers_crowd(narrow: House) -> None:
    data = b"a,b\n" + b"1,2\n" * 100_000
    strangers = []

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(data), 40_000):
            yield data[start : start + 40_000]
            for _ in range(8):
                strangers.append(connected(narrow.url))
                strangers[-1].sendall(head("POST", "/api/v1/session", Content_Length="1000") + b"{")

    name = hashlib.sha256(data).hexdigest()
    assert narrow.http.put(f"/api/v1/files/{name}", content=pieces()).status_code == 200
    for connection in strangers:
        connection.close()


def test_a_head_without_end_is_refused(narrow: House) -> None:
    with connected(narrow.url) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Long: ")
        try:
            for _ in range(4000):
                connection.sendall(b"x" * 1000)
        except OSError:  # it was closed while we sent
            return
        assert status(told(connection)) in (0, 400, 431)


@pytest.mark.parametrize(
    "method_path", ["PUT /api/v1/files/x", "POST /api/v1/datasets:upload", "POST /api/v1/searches"]
)
@pytest.mark.parametrize("more", [{}, {"Expect": "100-continue"}, {"Authorization": "Bearer guess"}])
def test_the_token_is_looked_at_before_the_body_is_there(house: House, method_path: str, more: dict[str, str]) -> None:
    method, path = method_path.split()
    with connected(house.url) as connection:
        connection.sendall(head(method, path, Content_Length=str(400 << 20), **more))
        answer = told(connection)  # nothing of the body was sent
    assert status(answer) in (401, 429)
    assert b"connection: close" in answer.lower()
    uploads = house.data_dir / "uploads"
    assert not uploads.exists() or list(uploads.iterdir()) == []


def test_a_body_that_is_sent_all_the_same_is_not_read_to_its_end(house: House) -> None:
    with connected(house.url) as connection:
        connection.sendall(head("PUT", "/api/v1/files/x", Content_Length=str(1 << 30)))
        sent = 0
        try:
            while sent < 1 << 30:
                sent += connection.send(b"x" * (1 << 16))
        except OSError:
            pass
    assert sent < 64 << 20, "what a socket's buffers and the drain take"


def test_an_answer_reaches_a_client_that_sends_a_body(house: House) -> None:
    for _ in range(5):
        answer = house.stranger.put("/api/v1/files/x", content=b"x" * 300_000)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b'{"name": NaN}'])
def test_what_a_stranger_sends_is_not_parsed(house: House, body: bytes) -> None:
    for path in ("/searches", "/leases", "/datasets", "/workers"):
        answer = house.stranger.post(f"/api/v1{path}", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 401


def test_paths_written_in_other_ways_are_no_way_around_the_guard(house: House) -> None:
    for path in ("//api/v1/searches", "/./api/v1/searches", "/api/v1/../v1/searches", "/%61pi/v1/searches",
                 "/API/v1/searches", "/api/v1/searches/", "/healthz/../api/v1/searches", "/page.js/../metrics",
                 "/healthz%2f..%2fmetrics", "/metrics/", "/healthz?/api/v1/searches", "/..%2f..%2ftoken"):  # fmt: skip
        for method in ("GET", "HEAD", "POST", "OPTIONS", "TRACE", "BREW"):
            with connected(house.url) as connection:
                connection.sendall(head(method, path, Connection="close"))
                answer = told(connection)
            is_health = path.startswith("/healthz?") and method == "GET"
            assert (status(answer) == 200) is is_health, (method, path, answer)
            assert house.token.encode() not in answer


def test_no_other_site_may_read_an_answer(house: House) -> None:
    for client in (house.stranger, house.http):
        for method, path in (("OPTIONS", "/api/v1/searches"), ("GET", "/api/v1/searches"), ("GET", "/")):
            answer = client.request(method, path, headers=FOREIGN)
            assert [name for name in answer.headers if name.startswith("access-control")] == []
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/page.js", "/healthz", "/metrics", "/api/v1/searches", "/api/v1/searches/x", "/nope"]
)
def test_every_answer_has_the_headers_that_close_browsers(house: House, path: str) -> None:
    for client in (house.http, house.stranger):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        if path.startswith(("/api", "/metrics")):
            assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_wrong_tokens_are_slowed_down_and_then_refused(build: Build) -> None:
    house = build(FOLDSTEP_WRONG_TOKENS_PER_MINUTE="5")
    with house.client("a guess") as guesser:
        seen = [guesser.get("/api/v1/searches") for _ in range(8)]
    assert [answer.status_code for answer in seen] == [401] * 5 + [429] * 3
    assert seen[-1].json()["code"] == "too_many_requests"
    assert int(seen[-1].headers["retry-after"]) > 0
    assert house.http.get("/api/v1/searches").status_code == 200, "nobody is locked out by a neighbour"


def test_a_short_token_cannot_be_found_by_trying(build: Build) -> None:
    house = build(FOLDSTEP_WRONG_TOKENS_PER_MINUTE="3", FOLDSTEP_TOKEN="4711")
    with house.client("4711") as owner:
        assert owner.get("/api/v1/searches").status_code == 200
        for guess in ("4708", "4709", "4710"):
            owner.get("/api/v1/searches", headers={"Authorization": f"Bearer {guess}"})
        assert owner.get("/api/v1/searches").status_code == 429, "right, and refused all the same"


def test_a_token_makes_so_many_calls_and_no_more(build: Build) -> None:
    house = build(FOLDSTEP_MAX_CALLS_PER_S="0.5")  # a burst of two
    seen = [house.http.get("/api/v1/searches").status_code for _ in range(4)]
    assert seen[:2] == [200, 200]
    assert 429 in seen[2:]


def test_refusals_are_problem_documents(house: House) -> None:
    answer = house.stranger.post("/api/v1/searches", content=b"x")
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.content)
    assert (problem["code"], problem["status"]) == ("unauthorized", 401)
    assert answer.headers["www-authenticate"] == "Bearer"
