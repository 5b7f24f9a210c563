"""No name that is sent leaves the folder that it is meant for, whatever way it is written."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.service.doors.conftest import House
from tests.service.doors.strangers import connected, head, status, told

BASE = "/api/v1"
WAYS_OUT = ["../token", "..%2Ftoken", "%2e%2e/token", "%2e%2e%2ftoken", "....//token", "..\\token", "..%5ctoken",
            "/etc/passwd", "%2fetc%2fpasswd", "..;/token", "%252e%252e%252ftoken", "token%00", ".", "..", "%00",
            "C:token", "..%c0%afget", "x/../../token"]  # fmt: skip
PLACES = ["/searches/{}/checkpoints/{}", "/searches/x/checkpoints/{}", "/datasets/{}", "/datasets/{}/file", "/files/{}",
          "/leases/1/snapshots/{}", "/searches/{}/trials/0/curves"]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_no_path_of_the_api_gives_a_file_of_another_folder(house: House, place: str) -> None:
    for way in WAYS_OUT:
        path = BASE + place.replace("{}", way)
        with connected(house.url) as connection:
            bearer = {"Authorization": f"Bearer {house.token}", "X-Lease-Token": "x", "Connection": "close"}
            connection.sendall(head("GET", path, **{name.replace("-", "_"): value for name, value in bearer.items()}))
            answer = told(connection)
        assert status(answer) in (307, 400, 401, 404, 405, 409, 422), (path, answer)
        body = answer.partition(b"\r\n\r\n")[2]
        assert house.token.encode() not in body
        assert b"root:" not in body


def test_no_static_path_gives_a_file_of_the_machine(house: House) -> None:
    for way in WAYS_OUT:
        with connected(house.url) as connection:
            connection.sendall(head("GET", f"/{way}", Authorization=f"Bearer {house.token}", Connection="close"))
            answer = told(connection)
        assert status(answer) in (307, 400, 404), (way, answer)
        assert house.token.encode() not in answer


def test_names_of_searches_and_data_sets_make_no_folders(house: House) -> None:
    before = {path.name for path in house.data_dir.parent.iterdir()}
    for way in ("../out", "..", "a/b", "/tmp/out", "a\\b", "\0", "‮x"):
        spec = {"name": way, "data": {"dataset": "iris"}, "parameters": {"epochs": 1}, "budget": {"trials": 1}}
        assert house.http.post(f"{BASE}/searches", json=spec).status_code == 422, way
        assert house.http.post(f"{BASE}/datasets", json={"name": way, "source": "iris"}).status_code == 422, way
        file = {"file": (way, b"a,b\n1,2\n3,4\n", "text/csv")}
        assert house.http.post(f"{BASE}/datasets:upload", data={"name": way}, files=file).status_code == 422, way
        assert house.http.put(f"{BASE}/files/{quote(way, safe='')}", content=b"x").status_code in (
            400,
            404,
            405,
            422,
        ), way
    assert {path.name for path in house.data_dir.parent.iterdir()} == before
