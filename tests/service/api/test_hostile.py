"""Requests that somebody made to cost the master much, or to be stored by no database: refused in words, at once."""

from __future__ import annotations

import io
import json
import socket
import tarfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from foldstep.service.contract.errors import MAX_FAULTS
from tests.service.api.conftest import AUTHORIZED, Master, Serve
from tests.service.api.test_problems import check_problem

SURROGATE = '"\\ud800"'


def post_text(master: Master, path: str, text: str) -> httpx.Response:
    return master.post(path, content=text.encode(), headers={"Content-Type": "application/json"})


def running(master: Master) -> dict[str, Any]:
    """Begin a search, and lease a trial of it."""
    spec = {"name": "h", "method": "random", "data": {"dataset": "iris"}, "budget": {"trials": 2},
            "parameters": {"lr": {"low": 0.1, "high": 1}}}  # fmt: skip
    assert master.post("/searches", json=spec).status_code == 202
    registration = {"name": "w", "device": "cpu", "version": master.get("/searches").headers["X-Foldstep-Version"]}
    worker = master.post("/workers", json=registration).json()["worker"]
    lease: dict[str, Any] = master.post("/leases", json={"worker": worker, "members": 1}).json()
    return lease


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/searches", '{"name": %s}'),
        ("/searches", '{%s: 1}'),
        ("/searches:validate", '{"name": "a", "data": {"dataset": %s}}'),
        ("/searches:validate", '{"name": "a", "data": {"dataset": "iris", "ignore": [%s]}}'),
        ("/datasets", '{"name": %s, "source": "iris"}'),
        ("/datasets", '{"name": "a", "source": %s}'),
        ("/datasets", '{"name": "a", "source": "iris", "options": {"types": {%s: "number"}}}'),
        ("/datasets", '{"name": "a", "source": "iris", %s: 1}'),
        ("/datasets", '{"name": "a", "source": "iris", "file": %s}'),
        ("/datasets/iris:replace", '{"source": %s}'),
        ("/workers", '{"name": %s, "device": "cpu", "version": "0.1.0"}'),
        ("/workers", '{"name": "w", "device": "cpu", "version": %s}'),
        ("/leases", '{"worker": %s, "members": 1}'),
        ("/searches/x:extend", '{"trials": %s}'),
    ],
)  # fmt: skip
def test_halves_of_characters_are_refused_in_words(master: Master, path: str, text: str) -> None:
    answer = post_text(master, path, text % SURROGATE)
    assert answer.status_code in (404, 422), answer.text
    assert answer.json()["detail"].endswith(".")


@pytest.mark.parametrize("digits", [400, 4301, 100_000])
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/searches", '{"name": "a", "seed": %s}'),
        ("/searches:validate", '{"name": "a", "data": {"dataset": "iris"}, "parameters": {"lr": %s}}'),
        ("/leases", '{"worker": %s, "members": 1}'),
        ("/leases", '{"worker": 1, "members": %s}'),
        ("/datasets", '{"name": "a", "source": %s}'),
        ("/searches/x:extend", '{"trials": %s}'),
    ],
)
def test_whole_numbers_without_end_are_refused(master: Master, path: str, text: str, digits: int) -> None:
    answer = post_text(master, path, text % ("9" * digits))
    assert answer.status_code in (400, 404, 422), answer.text
    assert len(answer.content) < 5000


def test_faults_of_a_request_are_listed_to_a_bound_and_counted(master: Master) -> None:
    answer = master.post("/leases", json={"worker": 1, "members": 1, **{f"k{i}": "v" * 1000 for i in range(3000)}})
    problem = check_problem(answer, 422, "invalid_input")
    assert (len(problem["faults"]), problem["n_faults"]) == (MAX_FAULTS, 3000)
    assert len(answer.content) < 100_000


def test_epochs_and_numbers_that_no_database_holds_are_refused(master: Master) -> None:
    lease = running(master)
    trial = lease["trials"][0]["number"]
    curve = {"train_loss": [], "score": []}
    fold = {"fold": 0, "score": 0.5, "best_epoch": 1, "epochs": 1, "curve": curve}
    result = {"trial": trial, "outcome": "completed", "folds": [fold], "duration_s": 1}
    for number in (-1, 2**31, 2**63, 10**30):
        for report in (
            {"progress": [{"trial": trial, "epoch": number}]},
            {"progress": [{"trial": number, "epoch": 1}]},
            {"snapshots": {str(number): "a.safetensors"}},
            {"results": [{**result, "folds": [{**fold, "epochs": number}]}]},
            {"results": [{**result, "folds": [{**fold, "best_epoch": number}]}]},
            {"results": [{**result, "folds": [{**fold, "fold": number}]}]},
            {"results": [{**result, "trial": number}]},
        ):
            answer = master.post(f"/leases/{lease['lease']}:report", json=report, headers=under(lease))
            check_problem(answer, 422, "invalid_input")


def under(lease: dict[str, Any]) -> dict[str, str]:
    return {"X-Lease-Token": lease["token"]}


def sparse_archive(name: str, claimed: int) -> bytes:
    """Make an archive of a few bytes that claims to hold many, as GNU tar writes files with holes."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.size = tarfile.GNUTYPE_SPARSE, 0
    head = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    head[386 : 386 + 24] = b"%011o\0%011o\0" % (claimed - 1, 0)  # where the one piece of data lies
    head[483:495] = b"%011o\0" % claimed
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + b"\0" * 1024


def test_a_sparse_archive_is_no_plain_file(master: Master) -> None:
    archive = sparse_archive("val_accuracy-0.5_trial-000000_fold-0_epoch-0001.safetensors", 6 << 30)
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        assert opened.next().size == 6 << 30  # it is what an archive reader believes
    lease = running(master)
    answer = master.http.put(f"/api/v1/leases/{lease['lease']}/checkpoints", content=archive, headers=under(lease))
    problem = check_problem(answer, 422, "invalid_input")
    assert problem["faults"][0]["code"] == "not_an_archive"


def test_a_body_under_somebody_elses_lease_is_refused_before_it_is_sent(master: Master) -> None:
    lease = running(master)
    url = httpx.URL(master.url)
    for way in ("checkpoints", "snapshots/a.safetensors"):
        head = (
            f"PUT /api/v1/leases/{lease['lease']}/{way} HTTP/1.1\r\nHost: a\r\nX-Lease-Token: wrong\r\n"
            f"Authorization: {AUTHORIZED['Authorization']}\r\nContent-Length: 400000000\r\n\r\n"
        )
        with socket.create_connection((url.host, url.port), timeout=20) as connection:
            connection.sendall(head.encode())  # and nothing of the body
            answer = connection.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 409 ")
        assert b'"lease_lost"' in answer


def test_a_spec_has_a_limit_of_its_own(serve: Serve) -> None:
    master = serve(max_spec_bytes=1000)
    for answer in (
        master.post("/searches", json={"name": "x" * 1000}),
        post_text(master, "/searches:validate", "{" + " " * 1000),
    ):
        check_problem(answer, 413, "too_large")
        assert "FOLDSTEP_MAX_SPEC_BYTES" in answer.text


def test_a_key_twice_is_found_whatever_stands_before_it(master: Master) -> None:
    text = "{" + ",".join(f'"k{i}":1' for i in range(200_000)) + ',"k0":1}'
    assert check_problem(post_text(master, "/searches", text), 422, "spec_invalid")["faults"][0]["path"] == "k0"


def test_many_large_specs_leave_the_other_calls_their_threads(master: Master) -> None:
    text = json.dumps({"name": "a", "data": {"dataset": "gone"}, "parameters": {"lr": list(range(5000))}})
    with ThreadPoolExecutor(45) as pool:  # more than the server has threads
        waiting = [pool.submit(post_text, master, "/searches", text) for _ in range(45)]
        answered = 0
        while not all(other.done() for other in waiting):
            assert master.get("/workers").status_code == 200
            answered += 1
        assert all(other.result().status_code == 422 for other in waiting)
    assert answered > 1
