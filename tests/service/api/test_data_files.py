"""Uploaded files over a socket: kept under their SHA-256, registered, replaced; searches keep the data they have."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest

from foldstep.client import Foldstep
from foldstep.service.contract.dataset import Dataset, Replaced
from foldstep.service.contract.errors import InvalidInput, NotFound, TooLarge
from foldstep.service.contract.submit import Validated
from tests.service.api.conftest import Master, Serve, registered
from tests.service.scenes import spec


def put(master: Master, sha256: str, content: bytes) -> httpx.Response:
    return master.http.put(f"/api/v1/files/{sha256}", content=content)


def uploaded(master: Master, name: str, content: str) -> Dataset:
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    assert put(master, sha256, content.encode()).status_code == 200
    return registered(master.post("/datasets", json={"name": name, "source": f"{name}.csv", "file": sha256}))


def fingerprint(master: Master, name: str) -> str:
    answer = master.post("/searches:validate", json=spec(data={"dataset": name, "target": "kind"}))
    assert answer.status_code == 200, answer.text
    return Validated.model_validate(answer.json()).problem.fingerprint


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))


def test_a_file_is_kept_as_it_came(master: Master, tmp_path: Path, table: str) -> None:
    sha256 = hashlib.sha256(table.encode()).hexdigest()
    assert master.get(f"/files/{sha256}").status_code == 404
    dataset = uploaded(master, "mine", table)
    assert master.get(f"/files/{sha256}").json() == {"sha256": sha256, "bytes": len(table)}
    assert (tmp_path / "files" / sha256).read_text() == table
    assert (dataset.description.source, dataset.description.n_rows) == ("mine.csv", 60)
    assert fingerprint(master, "mine") == dataset.description.fingerprint


def test_other_content_than_was_announced_is_refused_and_leaves_nothing(master: Master, tmp_path: Path) -> None:
    answer = put(master, "0" * 64, b"a,b\n1,2\n")
    assert (answer.status_code, answer.json()["faults"][0]["code"]) == (422, "other_content")
    assert names_in(tmp_path / "uploads") == names_in(tmp_path / "files") == []


@pytest.mark.parametrize("name", ["..%2Ftoken", "token", "A" * 64, "0" * 63])
def test_only_uploaded_files_are_there(master: Master, name: str) -> None:
    answer = master.get(f"/files/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_path_is_no_name_of_an_uploaded_file(master: Master, tmp_path: Path, table: str) -> None:
    uploaded(master, "mine", table)
    (tmp_path / "secret.csv").write_text(table)
    answer = master.post("/datasets", json={"name": "x", "source": "x.csv", "file": "../secret.csv"})
    assert (answer.status_code, answer.json()["faults"][0]["code"]) == (422, "not_uploaded")


def test_the_client_sends_a_file_once_and_says_how_far_it_is(master: Master, tmp_path: Path) -> None:
    client = Foldstep(master.url, "secret")
    path = tmp_path / "big.csv"
    path.write_text("a,b,kind\n" + "".join(f"{i},{i % 7},{'yes' if i % 3 else 'no'}\n" for i in range(60_000)))
    seen: list[tuple[int, int]] = []
    dataset = client.upload_dataset("big", path, on_progress=lambda sent, size: seen.append((sent, size)))
    size = path.stat().st_size
    assert dataset.description.n_rows == 60_000
    assert seen[-1] == (size, size)
    assert [sent for sent, _ in seen] == sorted({sent for sent, _ in seen})
    assert len(seen) > 1
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert client.has_file(sha256)
    assert not client.has_file("0" * 64)
    seen.clear()
    assert (
        client.upload_dataset("again", path, on_progress=lambda *told: seen.append(told)).description.n_rows == 60_000
    )
    assert seen == [], "nothing is sent twice"
    client.close()


def test_a_file_that_is_too_large_is_refused_in_one_sentence(serve: Serve, tmp_path: Path) -> None:
    master = serve(max_upload_bytes=100_000)
    path = tmp_path / "big.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * 500_000)
    client = Foldstep(master.url, "secret")
    with pytest.raises(TooLarge, match="FOLDSTEP_MAX_UPLOAD_BYTES"):
        client.upload_file(path)
    client.close()
    assert names_in(tmp_path / "uploads") == names_in(tmp_path / "files") == []


def test_a_search_keeps_the_data_that_a_replacement_takes_away_from_the_name(
    master: Master, tmp_path: Path, table: str
) -> None:
    old = uploaded(master, "mine", table)
    search = master.post("/searches", json=spec(data={"dataset": "mine", "target": "kind"})).json()
    client = Foldstep(master.url, "secret")
    path = tmp_path / "new.csv"
    path.write_text(table + "61,3,no\n")
    replaced = client.replace_dataset("mine", path)
    assert isinstance(replaced, Replaced)
    assert replaced.old == old
    assert (replaced.new.description.n_rows, replaced.new.description.source) == (61, "new.csv")
    assert client.dataset("mine") == replaced.new
    assert fingerprint(master, "mine") == replaced.new.description.fingerprint
    kept = client.search(search["id"])
    assert kept.fingerprint == old.description.fingerprint
    assert master.get(f"/datasets/{kept.fingerprint}/file").content[:4] == b"PAR1"
    assert names_in(tmp_path / "files") == [hashlib.sha256(path.read_bytes()).hexdigest()]
    client.close()


def test_what_cannot_be_replaced(master: Master, tmp_path: Path, table: str) -> None:
    client = Foldstep(master.url, "secret")
    path = tmp_path / "new.csv"
    path.write_text(table)
    with pytest.raises(NotFound, match="no data set mine"):
        client.replace_dataset("mine", path)
    assert names_in(tmp_path / "files") == [], "nothing is sent for a name that there is not"
    client.register_dataset("iris", "iris")
    with pytest.raises(InvalidInput, match="scikit-learn"):
        client.replace_dataset("iris", path)
    old = uploaded(master, "mine", table.replace("yes", "maybe"))
    path.write_text("nothing\n")
    with pytest.raises(InvalidInput):
        client.replace_dataset("mine", path)
    assert client.dataset("mine") == old
    client.close()


def test_a_deleted_data_set_is_gone_but_not_for_its_searches(master: Master, tmp_path: Path, table: str) -> None:
    dataset = uploaded(master, "mine", table)
    uploaded(master, "twin", table)
    assert master.post("/searches", json=spec(data={"dataset": "mine", "target": "kind"})).status_code == 202
    assert master.http.delete("/api/v1/datasets/mine").status_code == 204
    assert master.http.delete("/api/v1/datasets/mine").status_code == 404
    assert len(names_in(tmp_path / "files")) == 1, "the other name still needs it"
    assert master.http.delete("/api/v1/datasets/twin").status_code == 204
    assert names_in(tmp_path / "files") == []
    assert master.get("/datasets").json() == []
    assert master.get(f"/datasets/{dataset.description.fingerprint}/file").status_code == 200


def test_a_report_on_registered_and_on_bundled_data(master: Master, table: str) -> None:
    dataset = uploaded(master, "mine", table)
    client = Foldstep(master.url, "secret")
    whole = client.data_report("mine")
    assert (whole.data, whole.target) == (dataset.description, None)
    told = client.data_report("mine", "kind")
    assert told.data == dataset.description
    assert told.target is not None
    assert told.target.name == "kind"
    assert client.data_report("iris").data.n_rows == 150
    for name, target in (("nope", None), ("mine", "nope")):
        with pytest.raises(NotFound, match="nope"):
            client.data_report(name, target)
    client.close()
