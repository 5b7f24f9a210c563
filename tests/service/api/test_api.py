"""The API over a socket: the way of a search, and of every call around it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from foldstep.service.contract.archive import pack
from foldstep.service.contract.leaderboard import Leaderboard, SearchView, TrialCurves, TrialView
from foldstep.service.contract.lease import Lease, Work
from foldstep.service.contract.report import ReportReply
from foldstep.service.contract.version import __version__
from tests.service.api.conftest import Master, Serve, registered
from tests.service.scenes import Clock, checkpoint, new_search, result, spec

YAML = """
name: table
data: {dataset: table.csv, target: kind}
cv: {folds: 2}
parameters:
  lr: {low: 1e-4, high: 0.1, log: true}
budget: {trials: 2}
"""


def worker(master: Master) -> int:
    answer = master.post("/workers", json={"name": "w", "device": "cpu", "version": __version__})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["worker"])


def take(master: Master, worker_id: int, members: int = 4) -> Lease | None:
    answer = master.post("/leases", json={"worker": worker_id, "members": members})
    assert answer.status_code in (200, 204), answer.text
    return Lease.model_validate(answer.json()) if answer.status_code == 200 else None


def fenced(held: Lease) -> dict[str, str]:
    return {"X-Lease-Token": held.token}


def report(master: Master, held: Lease, *numbers: int) -> ReportReply:
    results = [result(n, checkpoints=True).model_dump() for n in numbers]
    answer = master.post(f"/leases/{held.lease}:report", json={"results": results}, headers=fenced(held))
    assert answer.status_code == 200, answer.text
    return ReportReply.model_validate(answer.json())


def test_search_from_spec_to_leaderboard(master: Master, tmp_path: Path, table: str) -> None:
    (tmp_path / "table.csv").write_text(table)
    answer = master.post("/searches", content=YAML, headers={"Content-Type": "application/yaml"})
    assert answer.status_code == 202, answer.text
    submitted = SearchView.model_validate(answer.json())
    assert answer.headers["Location"] == f"/api/v1/searches/{submitted.id}"
    assert (submitted.task, submitted.n_folds, submitted.trials) == ("classification", 2, 2)
    held = take(master, worker(master))
    assert held is not None
    data = master.get(f"/datasets/{held.problem.fingerprint}/file")
    assert data.content[:4] == b"PAR1"
    name = checkpoint(0, 0)
    path = f"/api/v1/leases/{held.lease}/checkpoints"
    kept = master.http.put(path, content=pack({name: b"net"}), headers=fenced(held))
    assert kept.status_code == 204, kept.text
    report(master, held, 0, 1)
    assert master.post(f"/leases/{held.lease}:release", json={}, headers=fenced(held)).status_code == 204
    seen = SearchView.model_validate(master.get(f"/searches/{submitted.id}").json())
    assert seen.state == "completed"
    board = Leaderboard.model_validate(master.get(f"/searches/{submitted.id}/leaderboard").json())
    assert [row.trial for row in board.rows] == [0, 1]
    assert master.get(f"/searches/{submitted.id}/checkpoints/{name}").content == b"net"
    trial = TrialView.model_validate(master.get(f"/searches/{submitted.id}/trials/1").json())
    assert trial.score == 0.6
    curves = TrialCurves.model_validate(master.get(f"/searches/{submitted.id}/trials/1/curves").json())
    assert set(curves.curves) == {0, 1}
    again = Work.model_validate(master.get(f"/searches/{submitted.id}/work/1").json())
    assert (again.search, again.problem, again.trial) == (held.search, held.problem, held.trials[1])
    assert master.get(f"/searches/{submitted.id}/borders").json() == []
    assert master.get(f"/searches/{submitted.id}/spec").json()["data"]["target"] == "kind"
    assert [s["id"] for s in master.get("/searches").json()] == [submitted.id]


def test_validate_stores_no_search(master: Master) -> None:
    answer = master.post("/searches:validate", json=spec(data={"dataset": "iris"}, metric="log_loss"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["problem"]["target"] == "target"
    assert answer.json()["trials"] == 6
    assert master.get("/searches").json() == []


def test_all_faults_of_a_spec_come_at_once(master: Master) -> None:
    answer = master.post("/searches:validate", json=spec(mehtod="random", parameters={"lr": {"low": 2, "high": 1}}))
    assert answer.status_code == 422
    assert {f["path"] for f in answer.json()["faults"]} == {"mehtod", "parameters.lr"}


def test_pause_resume_stop_delete(master: Master) -> None:
    search = new_search(master.app.state.context)
    for verb, state in (("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
        answer = master.post(f"/searches/{search}:{verb}")
        assert (answer.status_code, answer.json()["state"]) == (200, state)
    deleted = master.http.delete(f"/api/v1/searches/{search}")
    assert (deleted.status_code, deleted.json()["files"]) == (200, 0)
    assert master.get(f"/searches/{search}").status_code == 404


def test_extend(master: Master) -> None:
    search = new_search(master.app.state.context)
    answer = master.post(f"/searches/{search}:extend", json={"trials": 4})
    assert (answer.status_code, answer.json()["trials"]) == (200, 10)
    answer = master.post(f"/searches/{search}:extend", json={"trials": 0})
    assert (answer.status_code, answer.json()["faults"][0]["path"]) == (422, "trials")
    answer = master.post(f"/searches/{search}:extend", json={"time": "soon"})
    assert (answer.status_code, answer.json()["faults"][0]["path"]) == (422, "time")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_the_spec_of_a_search_does_not_change_and_the_answer_says_what_to_do(master: Master, method: str) -> None:
    search = new_search(master.app.state.context)
    answer = master.http.request(method, f"/api/v1/searches/{search}", json=spec(parameters={"lr": 0.1}))
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert f"warm_start: {search}" in answer.json()["detail"]


def test_a_warm_start_trains_the_best_of_the_other_search_first(master: Master, tmp_path: Path, table: str) -> None:
    (tmp_path / "table.csv").write_text(table)
    data = {"dataset": "table.csv", "target": "kind"}
    old = master.post("/searches", json=spec(data=data, budget={"trials": 4})).json()["id"]
    worker_id = worker(master)
    held = take(master, worker_id, 8)
    assert held is not None
    results = [result(t.number, (t.number / 10, t.number / 10)).model_dump() for t in held.trials]
    master.post(f"/leases/{held.lease}:report", json={"results": results}, headers=fenced(held))
    new = master.post("/searches", json=spec(data=data, budget={"trials": 8}, warm_start=old))
    assert new.status_code == 202, new.text
    warm = take(master, worker_id, 16)
    assert warm is not None
    best = {t.number: t.params["lr"] for t in held.trials}
    assert [t.params["lr"] for t in warm.trials[:2]] == [best[3], best[2]]
    answer = master.post("/searches", json=spec(data=data, warm_start="nobody"))
    assert (answer.status_code, answer.json()["faults"][0]["path"]) == (422, "warm_start")


def test_data_set_by_path_by_name_and_by_upload(master: Master, tmp_path: Path, table: str) -> None:
    (tmp_path / "table.csv").write_text(table)
    by_path = registered(master.post("/datasets", json={"name": "mine", "source": "table.csv"}))
    file = {"file": ("upload.csv", table, "text/csv")}
    uploaded = registered(master.post("/datasets:upload", data={"name": "sent"}, files=file))
    assert by_path.description.fingerprint == uploaded.description.fingerprint
    assert uploaded.description.source == "upload.csv"
    stored = hashlib.sha256(table.encode()).hexdigest()
    assert (tmp_path / "files" / stored).read_text() == table
    assert list((tmp_path / "uploads").iterdir()) == []
    assert [d["name"] for d in master.get("/datasets").json()] == ["mine", "sent"]
    assert master.get("/datasets/mine").json() == by_path.model_dump(mode="json")
    again = registered(master.post("/datasets", json={"name": "mine", "source": "table.csv"}))
    assert again == by_path


def test_data_that_changed_since_its_registration_is_refused(master: Master, tmp_path: Path, table: str) -> None:
    (tmp_path / "table.csv").write_text(table)
    registered(master.post("/datasets", json={"name": "mine", "source": "table.csv"}))
    sent = spec(data={"dataset": "mine", "target": "kind"})
    assert master.post("/searches:validate", json=sent).status_code == 200
    (tmp_path / "table.csv").write_text(table.replace("yes", "maybe"))
    answer = master.post("/searches", json=sent)
    assert answer.status_code == 422
    assert [(f["code"], f["path"]) for f in answer.json()["faults"]] == [("data_changed", "data.dataset")]
    assert "datasets replace mine" in answer.json()["detail"]
    taken = master.post("/datasets", json={"name": "mine", "source": "table.csv"})
    assert (taken.status_code, taken.json()["code"]) == (409, "name_taken")
    replaced = master.post("/datasets/mine:replace", json={"source": "table.csv"})
    assert replaced.status_code == 200, replaced.text
    assert master.post("/searches:validate", json=sent).status_code == 200
    (tmp_path / "table.csv").unlink()
    assert master.post("/searches:validate", json=sent).status_code == 200


@pytest.mark.parametrize(
    ("registration", "status", "code"),
    [
        ({"name": "x", "source": "/etc/passwd"}, 403, "path_not_allowed"),
        ({"name": "x", "source": "missing.csv"}, 422, "dataset_unreadable"),
        ({"name": "../x", "source": "iris"}, 422, "invalid_input"),
        ({"name": "digits", "source": "iris"}, 422, "invalid_input"),
        ({"name": "x"}, 422, "invalid_input"),
        ({"name": "x", "source": "x.csv", "file": "0" * 64}, 422, "invalid_input"),
        ({"name": "x", "source": "x.csv", "file": "../token"}, 422, "invalid_input"),
        ({"name": "x", "source": "iris", "options": {"decimal": ";"}}, 422, "invalid_input"),
    ],
)
def test_data_that_cannot_be_registered(master: Master, registration: Any, status: int, code: str) -> None:
    answer = master.post("/datasets", json=registration)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_worker_of_another_version_is_refused(master: Master) -> None:
    answer = master.post("/workers", json={"name": "w", "device": "cpu", "version": "99.0.0"})
    assert answer.status_code == 409
    assert answer.json()["faults"][0]["code"] == "version_differs"


def test_nothing_to_do_is_no_content(master: Master) -> None:
    assert take(master, worker(master)) is None


def test_states_go_up_and_down(master: Master) -> None:
    new_search(master.app.state.context)
    hand = worker(master)
    held = take(master, hand)
    assert held is not None
    path = f"/api/v1/leases/{held.lease}/snapshots/pack.safetensors"
    assert master.http.put(path, content=b"state", headers=fenced(held)).status_code == 204
    end = {"snapshots": {"0": "pack.safetensors"}}
    assert master.post(f"/leases/{held.lease}:release", json=end, headers=fenced(held)).status_code == 204
    again = take(master, hand)
    assert again is not None
    resume = again.trials[0].resume
    token = fenced(again)
    assert master.get(f"/leases/{again.lease}/snapshots/{resume}", headers=token).content == b"state"
    assert master.get(f"/leases/{again.lease}/snapshots/{resume}", headers={"X-Lease-Token": "no"}).status_code == 409
    assert master.get(f"/leases/{again.lease}/snapshots/other.safetensors", headers=token).status_code == 404


def test_without_the_token_in_its_header_nothing_is_done_under_a_lease(master: Master) -> None:
    search = new_search(master.app.state.context)
    held = take(master, worker(master))
    assert held is not None
    for action in ("report", "release"):
        answer = master.post(f"/leases/{held.lease}:{action}", json={})
        assert (answer.status_code, answer.json()["faults"][0]["path"]) == (422, "X-Lease-Token")
        in_body = master.post(f"/leases/{held.lease}:{action}", json={"token": held.token}, headers=fenced(held))
        assert (in_body.status_code, in_body.json()["faults"][0]["path"]) == (422, "token")
    assert master.get(f"/searches/{search}").json()["counts"]["running"] == 2


def test_silent_worker_loses_its_trials_to_the_background_sweep(serve: Serve) -> None:
    clock = Clock()
    master = serve(clock)
    search = new_search(master.app.state.context)
    held = take(master, worker(master))
    assert held is not None
    clock.advance(61)
    while "running" in master.get(f"/searches/{search}").json()["counts"]:
        pass
    others = [take(master, worker(master)) for _ in held.trials]  # one in each lease, for one of them may be at fault
    assert [len(other.trials) for other in others if other] == [1, 1]
    answer = master.post(f"/leases/{held.lease}:report", json={}, headers=fenced(held))
    assert (answer.status_code, answer.json()["code"]) == (409, "lease_lost")


def test_metrics_name_every_state(master: Master) -> None:
    new_search(master.app.state.context)
    take(master, worker(master))
    text = master.http.get("/metrics").text
    assert 'foldstep_searches{state="running"} 1' in text
    assert 'foldstep_trials{state="running"} 2' in text
    assert "foldstep_leases_held 1" in text
    assert "foldstep_workers 1" in text


def test_workers_are_listed_with_what_they_do(master: Master) -> None:
    new_search(master.app.state.context)
    take(master, worker(master))
    (seen,) = master.get("/workers").json()
    assert (seen["name"], seen["device"], seen["running"]) == ("w", "cpu", 2)


def test_page_and_documentation_are_served(master: Master) -> None:
    assert "Foldstep" in master.http.get("/").text
    paths = master.http.get("/openapi.json").json()["paths"]
    body = paths["/api/v1/searches"]["post"]["requestBody"]["content"]
    assert {"application/json", "application/yaml"} == set(body)
    assert master.http.get("/docs").status_code == 200


def test_examples_of_the_documentation_are_valid(master: Master) -> None:
    paths = master.http.get("/openapi.json").json()["paths"]
    for media_type, entry in paths["/api/v1/searches:validate"]["post"]["requestBody"]["content"].items():
        sent = {"content": entry["example"]} if isinstance(entry["example"], str) else {"json": entry["example"]}
        headers = {"Content-Type": media_type}
        answer = master.http.post("/api/v1/searches:validate", headers=headers, **sent)
        assert answer.status_code == 200, answer.text


def test_many_checkpoints_go_up_as_one_archive(master: Master) -> None:
    search = new_search(master.app.state.context)
    held = take(master, worker(master))
    assert held is not None
    sent = {checkpoint(trial, fold): f"{trial}/{fold}".encode() for trial in (0, 1) for fold in (0, 1)}
    path, token = f"/api/v1/leases/{held.lease}/checkpoints", fenced(held)
    assert master.http.put(path, content=pack(sent), headers=token).status_code == 204
    for name, content in sent.items():
        assert master.get(f"/searches/{search}/checkpoints/{name}").content == content
    assert master.http.put(path, content=b"noise", headers=token).status_code == 422
    assert master.http.put(path, content=pack({"../x": b"x"}), headers=token).status_code == 422


def test_the_size_of_a_network_is_known_before_it_trains(master: Master, tmp_path: Path, table: str) -> None:
    (tmp_path / "table.csv").write_text(table)
    search = master.post("/searches", content=YAML, headers={"Content-Type": "application/yaml"}).json()["id"]
    assert take(master, worker(master), members=2) is not None  # one trial of two folds; the other one waits
    rows = [master.get(f"/searches/{search}/trials/{number}").json() for number in range(2)]
    assert [row["state"] for row in rows] == ["running", "waiting"]
    # two inputs, two layers of 64 units, two classes
    assert [row["n_parameters"] for row in rows] == [(2 + 1) * 64 + (64 + 1) * 64 + (64 + 1) * 2] * 2
