"""What goes over the wire and what lies on the disk: TLS, proxies, rights of files, lists of processes."""

from __future__ import annotations

import os
import ssl
import stat
import subprocess
from pathlib import Path

import httpx
import psutil
import pytest

from foldstep.client import Foldstep
from tests.acceptance.processes import Processes, foldstep, spec, until
from tests.service.doors.conftest import Build, House
from tests.service.doors.strangers import connected, told

BASE = "/api/v1"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=master", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def test_tls_by_flags(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = certificate
    with Processes(tmp_path) as processes:
        words = ("serve", "--dir", "data", "--port", "0", "--tls-cert", str(cert), "--tls-key", str(key))
        server = processes.start("foldstep", *words, FOLDSTEP_HEAD_TIMEOUT_S="2")
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert url.startswith("https://127.0.0.1:"), processes.logs()
        seen = foldstep("searches", "--dir", "data", cwd=tmp_path, FOLDSTEP_CA_FILE=str(cert))
        assert seen.returncode == 0, seen.stderr
        stranger = foldstep("searches", "--dir", "data", cwd=tmp_path)
        assert "CERTIFICATE_VERIFY_FAILED" in stranger.stderr, "a client believes no certificate that it does not know"
        lost = foldstep("searches", "--dir", "data", cwd=tmp_path, FOLDSTEP_CA_FILE="nowhere.pem")
        assert lost.stderr.startswith("invalid_input: FOLDSTEP_CA_FILE names nowhere.pem")
        with httpx.Client(base_url=url, verify=ssl.create_default_context(cafile=cert), trust_env=False) as client:
            token = (tmp_path / "data/token").read_text().strip()
            answer = client.post(f"{BASE}/session", json={"token": token})
            assert "Secure" in answer.headers["set-cookie"].split("; ")
            assert "max-age" in answer.headers["strict-transport-security"]
        with connected(url) as silent:
            assert told(silent) == b"", "a handshake that does not come is no longer waited for"
        with connected(url) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: master\r\n\r\n")
            assert b"200 OK" not in told(plain)


def test_a_certificate_that_cannot_be_used_is_refused_in_a_sentence(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = certificate
    (tmp_path / "noise").write_text("noise")
    for words in (("--tls-cert", "nowhere"), ("--tls-cert", "noise"), ("--tls-cert", str(cert), "--tls-key", "noise"),
                  ("--tls-key", str(key)), ("--tls-cert", str(cert))):  # fmt: skip
        done = foldstep("serve", "--port", "0", *words, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("invalid_input: ")
        assert "--tls-cert" in line
    for name, value in (("--trusted-proxy", "everybody"), ("--root-path", "foldstep"), ("--root-path", "/a/")):
        done = foldstep("serve", "--port", "0", name, value, cwd=tmp_path)
        assert done.returncode == 1
        assert "bad_setting" in done.stderr or "A setting is wrong" in done.stderr
        assert "Traceback" not in done.stderr


def guesses(house: House, n: int) -> list[int]:
    with house.client("a guess") as client:
        return [
            client.get(f"{BASE}/searches", headers={"X-Forwarded-For": f"192.0.2.{i}"}).status_code for i in range(n)
        ]


def test_forwarded_headers_are_believed_from_named_proxies_alone(build: Build) -> None:
    limits = {"FOLDSTEP_WRONG_TOKENS_PER_MINUTE": "3"}
    assert guesses(build(**limits), 5) == [401] * 3 + [429] * 2, "a stranger does not choose its address"
    behind = build(**limits, FOLDSTEP_TRUSTED_PROXIES="127.0.0.0/8", FOLDSTEP_ROOT_PATH="/foldstep")
    assert guesses(behind, 5) == [401] * 5, "each client of the proxy has its own count"
    secret = {"token": behind.token}
    cookie = behind.stranger.post(f"{BASE}/session", json=secret, headers={"X-Forwarded-Proto": "https"}).headers
    assert {"Secure", "Path=/foldstep"} <= set(cookie["set-cookie"].split("; "))
    sent = {"name": "under-a-path", "data": {"dataset": "iris"}, "parameters": {"epochs": 1}, "budget": {"trials": 1}}
    made = behind.http.post(f"{BASE}/searches", json=sent)
    assert made.headers["location"].startswith("/foldstep/api/v1/searches/under-a-path-")
    assert behind.stranger.get(f"{BASE}/searches").status_code == 401
    assert behind.stranger.get("/").status_code == 200
    assert behind.http.get("/openapi.json").json()["servers"] == [{"url": "/foldstep"}]


def rights(folder: Path) -> dict[str, int]:
    return {str(p): stat.S_IMODE(p.lstat().st_mode) for p in (folder, *folder.rglob("*"))}


def test_nobody_else_reads_files_and_no_process_shows_a_token(tmp_path: Path) -> None:
    """A whole search, by the command line, with a lax umask; an earlier version left readable files behind."""
    data = tmp_path / "data"
    old = os.umask(0o000)
    try:
        (data / "checkpoints" / "old").mkdir(parents=True)
        (data / "checkpoints" / "old" / "x.safetensors").write_text("")
        data.chmod(0o755)
        with Processes(tmp_path) as processes:
            _, master = processes.master()
            token = (data / "token").read_text().strip()
            words = ("worker", "--dir", "data", "--processes", "1", "--device", "cpu", "--cache", "cache")
            command = processes.start("foldstep", *words)
            search = master.submit(spec("private", 2, epochs=2))
            until(lambda: master.search(search.id).progress.members > 0 or bool(master.workers()), "a worker")
            for process in psutil.Process().children(recursive=True):
                shown = " ".join(process.cmdline()) + str(process.environ())
                assert token not in shown, process
            assert master.wait(search.id).state == "completed", processes.logs()
            assert token not in processes.logs()
            command.terminate()
            command.wait()
            found = {**rights(data), **rights(tmp_path / "cache")}
    finally:
        os.umask(old)
    del found[str(data)]  # it was there before, and is its owner's
    unreachable = str(data / "checkpoints" / "old")
    assert found.pop(unreachable)
    assert found.pop(f"{unreachable}/x.safetensors")
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}
    assert len(found) > 10


def test_a_folder_that_a_command_makes_is_its_users(tmp_path: Path) -> None:
    old = os.umask(0o000)
    try:
        (tmp_path / "spec.json").write_text("{}")
        foldstep("run", "spec.json", "--dir", "data", cwd=tmp_path)
    finally:
        os.umask(old)
    assert {name: oct(mode) for name, mode in rights(tmp_path / "data").items() if mode & 0o077} == {}


def test_the_client_that_is_documented_opens_the_page(house: House) -> None:
    master = Foldstep(house.url, house.token)
    link = master.page_link("one of mine")
    master.close()
    assert link.startswith(f"{house.url}/#login=")
    assert link.endswith("&search=one%20of%20mine")
    assert house.token not in link
