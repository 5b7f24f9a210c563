"""Sessions of the page: opened once by a link, carried by a cookie that only this master can write and only it gets."""

from __future__ import annotations

import re
import time
from pathlib import Path

import httpx
import pytest
from itsdangerous import URLSafeTimedSerializer

from tests.service.doors.conftest import Build, House

BASE = "/api/v1"
OURS = {"Sec-Fetch-Site": "same-origin"}


def code(house: House, client: httpx.Client | None = None) -> str:
    answer = (client or house.http).post(f"{BASE}/session-links")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["code"])


def opened(house: House, **secret: str) -> httpx.Client:
    """A client that shows the cookie of a new session and no token."""
    client = house.client()
    answer = client.post(f"{BASE}/session", json=secret)
    assert answer.status_code == 200, answer.text
    return client


def test_a_link_works_once_and_its_cookie_is_closed_to_scripts_and_other_sites(house: House) -> None:
    link = code(house)
    answer = house.client().post(f"{BASE}/session", json={"code": link})
    assert (answer.status_code, answer.json()) == (200, {"scopes": ["admin"]})
    cookie = answer.headers["set-cookie"]
    assert re.search(r"^foldstep_[0-9a-f]{8}=", cookie)
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    assert house.token not in cookie
    again = house.stranger.post(f"{BASE}/session", json={"code": link})
    assert (again.status_code, "used before" in again.json()["detail"]) == (401, True)
    assert "set-cookie" not in again.headers


def test_two_at_once_do_not_both_get_in_by_one_link(house: House) -> None:
    from concurrent.futures import ThreadPoolExecutor

    link = code(house)
    with ThreadPoolExecutor(8) as pool:
        seen = list(
            pool.map(lambda _: httpx.post(f"{house.url}{BASE}/session", json={"code": link}).status_code, range(8))
        )
    assert sorted(seen)[0] == 200
    assert seen.count(200) == 1


def test_a_session_does_what_its_token_may_and_ends_with_it(house: House) -> None:
    made = house.http.post(f"{BASE}/tokens", json={"name": "reader", "scopes": ["read"]}).json()
    for secret in ({"token": made["token"]}, {"code": code(house, house.client(made["token"]))}):
        reader = opened(house, **secret)
        assert reader.get(f"{BASE}/session").json() == {"scopes": ["read"]}
        assert reader.get(f"{BASE}/searches").status_code == 200
        assert reader.post(f"{BASE}/searches", json={}, headers=OURS).status_code == 403
        assert reader.get(f"{BASE}/tokens").status_code == 403
    link = code(house, house.client(made["token"]))
    house.http.delete(f"{BASE}/tokens/{made['id']}")
    assert reader.get(f"{BASE}/searches").status_code == 401
    assert house.stranger.post(f"{BASE}/session", json={"code": link}).status_code == 401


def test_every_session_ends_with_a_new_token_of_the_master(build: Build, tmp_path: Path) -> None:
    before = build(tmp_path)
    browser = opened(before, token=before.token)
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    assert browser.get(f"{BASE}/searches").status_code == 200
    before.close()
    (tmp_path / "data" / "token").unlink()
    after = build(tmp_path)
    assert after.token != before.token
    assert after.stranger.get(f"{BASE}/searches", headers={"Cookie": cookie}).status_code == 401


def test_a_session_makes_no_links_and_ends_when_it_is_left(house: House) -> None:
    client = opened(house, token=house.token)
    assert client.post(f"{BASE}/session-links", headers=OURS).status_code == 403
    assert client.delete(f"{BASE}/session", headers=OURS).status_code == 204
    assert client.get(f"{BASE}/searches").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "{own}"},
        {"Referer": "{own}/"},
        {"Origin": "{own}.evil.example"},
    ],
)
def test_another_site_cannot_use_the_session_of_a_browser(house: House, headers: dict[str, str]) -> None:
    client = opened(house, token=house.token)
    sent = {name: value.replace("{own}", house.url) for name, value in headers.items()}
    for method, path in (("POST", "/searches"), ("DELETE", "/searches/x"), ("POST", "/tokens"), ("PUT", "/files/x")):
        answer = client.request(method, f"{BASE}{path}", json={"name": "x", "scopes": ["admin"]}, headers=sent)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, path)
        assert "another site" in answer.json()["detail"]
    assert house.http.get(f"{BASE}/tokens").text.count('"x"') == 0


@pytest.mark.parametrize("headers", [{"Origin": "{own}"}, OURS])
def test_the_page_itself_can(house: House, headers: dict[str, str]) -> None:
    client = opened(house, token=house.token)
    sent = {name: value.replace("{own}", house.url) for name, value in headers.items()}
    assert client.post(f"{BASE}/searches/x:stop", headers=sent).status_code == 404


def test_another_site_cannot_sign_a_browser_in(house: House) -> None:
    answer = house.stranger.post(
        f"{BASE}/session", json={"token": house.token}, headers={"Origin": "https://evil.example"}
    )
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_cookie_that_is_forged_changed_too_old_or_another_masters_is_nobodys(house: House, build: Build) -> None:
    client = opened(house, token=house.token)
    ((name, right),) = client.cookies.items()
    payload, stamp, signature = right.split(".")
    forged = URLSafeTimedSerializer("a guess", salt="session").dumps("")
    other = opened(other_house := build(), token=other_house.token)
    ((other_name, others),) = other.cookies.items()
    assert other_name != name, "cookies know no ports"
    for value in (
        f"{payload}.{stamp}.{signature[::-1]}",
        f"WyIiXQ.{stamp}.{signature}",
        forged,
        others,
        "",
        "x" * 5000,
    ):
        assert httpx.get(f"{house.url}{BASE}/searches", headers={"Cookie": f"{name}={value}"}).status_code in (401, 431)
    assert httpx.get(f"{house.url}{BASE}/searches", headers={"Cookie": f"{name}={right}"}).status_code == 200


def test_a_session_ends_after_twelve_hours(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime

    from foldstep.service.auth.attempts import WrongTokens
    from foldstep.service.auth.door import SESSION_S, Door
    from foldstep.service.db.engine import Database

    door = Door(
        house.token, Database(f"sqlite:///{house.data_dir}/foldstep.db"), lambda: datetime.now(UTC), WrongTokens(10)
    )
    caller = door.by_token(house.token)
    assert caller is not None
    now = time.time()
    for age_s, expected in ((SESSION_S - 60, 200), (SESSION_S + 60, 401)):
        monkeypatch.setattr(time, "time", lambda age_s=age_s: now - age_s)
        cookie = door.session(caller)
        monkeypatch.undo()
        answer = httpx.get(f"{house.url}{BASE}/searches", headers={"Cookie": f"{door.cookie}={cookie}"})
        assert answer.status_code == expected


def test_a_stranger_sends_little_to_sign_in(house: House) -> None:
    assert house.stranger.post(f"{BASE}/session", json={"code": "x" * 100_000}).status_code == 413
    assert house.stranger.post(f"{BASE}/session", json={}).status_code == 422
    assert house.stranger.post(f"{BASE}/session", json={"code": "x", "token": "y"}).status_code == 422


def test_codes_cannot_be_found_by_trying(build: Build) -> None:
    house = build(FOLDSTEP_WRONG_TOKENS_PER_MINUTE="3")
    seen = [house.stranger.post(f"{BASE}/session", json={"code": f"guess {i}"}).status_code for i in range(5)]
    assert seen == [401] * 3 + [429] * 2
