"""Folders, ports, addresses, tokens and versions that cannot be used: one sentence with the way out, no traceback."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from foldstep.service.contract.version import fits
from tests.acceptance.processes import WAIT_S, Processes, foldstep
from tests.foldstep.conftest import Desk

SPEC = {
    "name": "small", "method": "random", "data": {"dataset": "iris"}, "cv": {"folds": 2}, "budget": {"trials": 2},
    "parameters": {"lr": {"low": 1e-3, "high": 1e-1, "log": True}, "epochs": 2},
}  # fmt: skip


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a refusal."""
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("words", ["serve", "run spec.json --json", "demo", "check spec.json", "upgrade"])
@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("file", "it is a file, or lies in one"),
        ("file/below", "it is a file, or lies in one"),
        ("/proc/nothing", "no such file or directory"),
        ("/sys/kernel", ""),  # read-only, or of a kind that takes no files
    ],
)
def test_a_folder_that_cannot_be_used(tmp_path: Path, words: str, folder: str, reason: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    line = sentence(foldstep(*words.split(), "--dir", folder, cwd=tmp_path))
    assert line.startswith(f"invalid_input: The data folder {tmp_path / folder} cannot be used: {reason}")
    assert line.endswith("Choose another one with --dir.")


@pytest.mark.parametrize("name", ["x%20y", "q?a=b#c", "ä ö", "a;b&c", "%"])
def test_a_folder_has_exactly_the_name_that_it_was_given(tmp_path: Path, name: str) -> None:
    assert foldstep("upgrade", "--dir", name, cwd=tmp_path).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert [path.name for path in (tmp_path / name).iterdir()] == ["foldstep.db"]


def test_a_port_in_use_and_an_address_that_is_not_ours(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = sentence(foldstep("serve", "--port", port, cwd=tmp_path))
    assert line.startswith(f"conflict: Cannot listen on 127.0.0.1:{port} (Address already in use)")
    assert line.endswith("choose another port: --port 0 takes any free one.")
    line = sentence(foldstep("serve", "--host", "no.such.host.invalid", cwd=tmp_path))
    assert line.endswith("this machine has no such address; choose another --host.")


@pytest.mark.parametrize(
    "url", ["nonsense", "http://", "http://a..b", "http://[::1", "http://x:99999", "ftp://x", "http://ex ample", "//"]
)
def test_an_address_that_is_none(tmp_path: Path, url: str) -> None:
    for words in (("searches",), ("worker", "--processes", "1")):
        done = foldstep(*words, "--url", url, cwd=tmp_path, FOLDSTEP_TOKEN="t")
        *_, line = done.stderr.splitlines()
        assert done.returncode == 1
        assert line.endswith("is no address of a master; one looks like http://127.0.0.1:8765.")
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("token", ["wrong", "ü", "a\x07b"])
def test_a_wrong_token(desk: Desk, token: str) -> None:
    line = sentence(desk("searches", "--token-file", desk.write("other", token)))
    assert line.startswith("unauthorized: The ")
    assert "in the file `token` of the master's data folder: name the folder with --dir, pass --token-file" in line


def test_a_master_that_is_not_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    line = sentence(foldstep("searches", "--url", url, cwd=tmp_path, FOLDSTEP_TOKEN="t"))
    assert (
        line
        == f"unavailable: The master at {url} cannot be reached: [Errno 111] Connection refused. Is it running there?"
    )


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as started:
        yield started


OTHER = {"sitecustomize.py": "import importlib.metadata as m\nold = m.version\n"
         "m.version = lambda name: '9.8.7' if name == 'foldstep' else old(name)\n"}  # fmt: skip


def test_a_master_of_another_version(processes: Processes, tmp_path: Path) -> None:
    """The client may not even understand its answers."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other/sitecustomize.py").write_text(OTHER["sitecustomize.py"])
    path = os.pathsep.join(filter(None, [str(tmp_path / "other"), os.environ.get("PYTHONPATH")]))
    processes.master(PYTHONPATH=path)
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))
    for words in (("searches",), ("run", "spec.json", "--json"), ("submit", "spec.json")):
        line = sentence(foldstep(*words, "--dir", "data", cwd=tmp_path))
        assert line.startswith("conflict: The master at http://127.0.0.1:")
        assert " is of version 9.8.7, and this is " in line
        assert line.endswith("install the same version on both sides.")
    assert not fits("9.8.7")


def test_the_link_to_the_page_is_for_a_terminal_alone_and_holds_no_token(tmp_path: Path) -> None:
    terminal, side = pty.openpty()
    argv = [sys.executable, "-m", "foldstep", "serve", "--port", "0", "--dir", "data"]
    server = subprocess.Popen(argv, cwd=tmp_path, stdin=side, stdout=side, stderr=subprocess.PIPE, text=True)
    os.close(side)
    written = ""
    while "Ctrl-C" not in written:
        written += os.read(terminal, 4096).decode()
    server.terminate()
    assert server.wait(WAIT_S) == 0
    os.close(terminal)
    address, page, *_ = written.splitlines()
    token = (tmp_path / "data/token").read_text().strip()
    assert re.fullmatch(rf"Page: {address}/#login=[\w-]{{32}}", page)
    assert token not in written
    assert server.stderr is not None
    assert token not in server.stderr.read()
    server.stderr.close()
