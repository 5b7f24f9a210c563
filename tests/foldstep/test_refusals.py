"""Whatever users get wrong, they read one sentence with a code and a path, and never a traceback."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.acceptance.processes import foldstep
from tests.foldstep import bad_specs
from tests.foldstep.bad_specs import GOOD, Bad
from tests.foldstep.conftest import Desk, refused


@pytest.fixture(scope="module")
def bad_files(desk: Desk) -> Desk:
    bad_specs.write_files(desk.folder)
    return desk


@pytest.mark.parametrize("mistake", [pytest.param(bad, id=name) for name, bad in bad_specs.ALL.items()])
def test_bad_spec_is_refused(bad_files: Desk, mistake: Bad) -> None:
    done = bad_files("submit", "-", stdin=as_yaml({**GOOD, **mistake.change}))
    refused(done, *mistake.names, code=mistake.code)


def as_yaml(spec: Any) -> str:
    import yaml

    return str(yaml.safe_dump(spec))


def test_a_spec_without_mistakes_is_taken(desk: Desk) -> None:
    assert desk("submit", "-", stdin=as_yaml(GOOD)).returncode == 0


def test_a_question_ends_as_one(desk: Desk) -> None:
    done = desk("submit", "-", stdin=as_yaml({**GOOD, "metod": "grid"}))
    assert done.stderr.endswith("got metod; did you mean method?\n")


def test_every_fault_is_named_at_once(desk: Desk) -> None:
    wrong = {"metod": "grid", "parameters": {"lrr": 1, "dropout": 2}, "cv": {"folds": 1}}
    refused(desk("submit", "-", stdin=as_yaml({**GOOD, **wrong})), "metod", "parameters.lrr", "parameters.dropout",
            "cv.folds", "4 faults", code="spec_invalid")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "names", "code"),
    [
        ("name: [1", ("YAML", "line 1"), "spec_invalid"),
        ("- a\n- b\n", ("mapping",), "invalid_input"),
        ("", ("mapping",), "invalid_input"),
        ("just words", ("mapping",), "invalid_input"),
    ],
)
@pytest.mark.parametrize("command", ["submit", "run"])
def test_text_that_is_no_spec_is_refused(
    desk: Desk, tmp_path: Path, command: str, text: str, names: tuple[str, ...], code: str
) -> None:
    (tmp_path / "spec.yaml").write_text(text)
    folder = "data" if command == "submit" else str(tmp_path / "own")
    done = foldstep(command, str(tmp_path / "spec.yaml"), "--dir", folder, cwd=desk.folder)
    refused(done, *names, code=code)


@pytest.mark.parametrize("content", [None, b"name: \xff\xfe"])
def test_spec_file_that_cannot_be_read_is_refused(desk: Desk, content: bytes | None) -> None:
    name = "unreadable.yaml"
    if content is not None:
        (desk.folder / name).write_bytes(content)
    refused(desk("submit", name), name, code="invalid_input")
    (desk.folder / name).unlink(missing_ok=True)


DOING = {
    "Looking for a master of foldstep-data",
    "Starting the master and its workers",
    "Reading the data and checking the spec",
}


@pytest.mark.parametrize(
    ("change", "names", "code"),
    [
        (bad_specs.RANGES["reversed"].change, bad_specs.RANGES["reversed"].names, "spec_invalid"),
        ({"data": {"dataset": "ragged.csv", "target": "y"}}, ("data.dataset", "line 3"), "dataset_unreadable"),
        ({"data": {"dataset": "https://example.org/a.csv", "target": "y"}}, ("data.dataset",), "dataset_unreadable"),
    ],
)
def test_run_refuses_the_same_and_leaves_nothing_behind(
    tmp_path: Path, change: dict[str, Any], names: tuple[str, ...], code: str
) -> None:
    bad_specs.write_files(tmp_path)
    (tmp_path / "spec.yaml").write_text(as_yaml({**GOOD, **change}))
    done = foldstep("run", "spec.yaml", cwd=tmp_path)
    assert set(done.stdout.splitlines()) <= DOING, "what it did until then"
    done.stdout = ""
    refused(done, *names, code=code)
    assert not (tmp_path / "foldstep-data" / "address").exists(), "the master has ended"


def test_data_that_changed_since_registration_is_refused(desk: Desk) -> None:
    changing = desk.folder / "changing.csv"
    changing.write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(8)))
    desk.master.register_dataset("changing", "changing.csv")
    spec = {**GOOD, "data": {"dataset": "changing", "target": "y"}}
    assert desk("submit", "-", stdin=as_yaml(spec)).returncode == 0
    changing.write_text(changing.read_text().replace("7,1", "7,0"))
    refused(
        desk("submit", "-", stdin=as_yaml(spec)),
        "data.dataset",
        "has changed",
        "datasets replace changing",
        code="spec_invalid",
    )


# -- the master that is meant ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("leaderboard", "nope"), ("nope",)),
        (("show", "nope"), ("nope",)),
        (("pause", "nope"), ("nope",)),
        (("resume", "nope"), ("nope",)),
        (("stop", "nope"), ("nope",)),
    ],
)
def test_what_is_not_there_is_named(desk: Desk, words: tuple[str, ...], names: tuple[str, ...]) -> None:
    refused(desk(*words), *names, code="not_found")


def test_trial_that_is_not_there_is_named(desk: Desk) -> None:
    search = desk.master.submit(GOOD)
    refused(desk("show", search.id, "99"), "99", code="not_found")


def test_without_a_master_the_command_to_start_one_is_named(tmp_path: Path) -> None:
    done = foldstep("searches", cwd=tmp_path)
    refused(done, "foldstep serve --dir foldstep-data", "--url", code="unavailable")


def test_with_an_address_alone_the_ways_to_give_a_token_are_named(tmp_path: Path) -> None:
    done = foldstep("searches", "--url", "http://127.0.0.1:1", cwd=tmp_path)
    refused(done, "--token-file", "FOLDSTEP_TOKEN", "--dir", code="unauthorized")


def test_wrong_token(desk: Desk) -> None:
    file = desk.write("guess", "guess")
    refused(desk("searches", "--token-file", file), "token", code="unauthorized")
    refused(desk("searches", "--token-file", "nowhere"), "No such file", code="invalid_input")
    refused(desk("searches", "--token-file", desk.write("empty", "")), "is empty", code="invalid_input")
    refused(desk("searches", FOLDSTEP_TOKEN="guess"), "token", code="unauthorized")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "ftp://127.0.0.1", "http://[::1", "http://"])
def test_wrong_address(desk: Desk, url: str) -> None:
    refused(desk("searches", "--url", url), url.rstrip("/"), code="unavailable")


class _Stranger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404)
        self.end_headers()
        self.wfile.write(b"<h1>hello</h1>")

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def stranger() -> Iterator[str]:
    """A web server that is no master."""
    server = HTTPServer(("127.0.0.1", 0), _Stranger)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_address_of_something_else(desk: Desk, stranger: str) -> None:
    refused(desk("searches", "--url", stranger), stranger, "not an answer of a Foldstep master", code="error")


# -- commands that take files, devices, ports ------------------------------------------------------------------------


def no_dir(desk: Desk, *words: str) -> subprocess.CompletedProcess[str]:
    return foldstep(*words, cwd=desk.folder)


def test_predict_and_recover_without_their_files(desk: Desk) -> None:
    desk.write("rows.csv", "x\n1\n2\n")
    desk.write("damaged.safetensors", "no tensors here")
    refused(no_dir(desk, "predict", "none.safetensors", "rows.csv"), "none.safetensors", code="invalid_input")
    refused(no_dir(desk, "predict", "damaged.safetensors", "rows.csv"), "damaged.safetensors", code="invalid_input")
    refused(no_dir(desk, "recover", "no-folder"), "no-folder", code="invalid_input")


def test_datasets_add_names_what_is_wrong(bad_files: Desk) -> None:
    good = bad_files.write("good.csv", "x,y\n1,0\n2,1\n")
    other = bad_files.write("other.csv", "x,y\n1,0\n2,0\n")
    assert bad_files("datasets", "add", "mine", good).returncode == 0
    refused(bad_files("datasets", "add", "mine", other), "mine", code="name_taken")
    refused(bad_files("datasets", "add", "mine", "none.csv"), "none.csv", code="invalid_input")
    refused(bad_files("datasets", "add", "../up", good), "../up", code="invalid_input")
    refused(bad_files("datasets", "add", "digits", good), "digits", code="invalid_input")
    refused(bad_files("datasets", "add", "broken", "ragged.csv"), "line 3", code="dataset_unreadable")


def test_worker_with_a_device_that_there_is_not(desk: Desk) -> None:
    refused(desk("worker", "--device", "tpu"), "tpu", "auto, cpu, cuda or cuda:N", code="invalid_input")


def test_a_port_in_use_and_a_folder_in_use(desk: Desk, tmp_path: Path) -> None:
    port = desk.master.url.rpartition(":")[2]
    taken = foldstep("serve", "--dir", "other", "--port", port, cwd=tmp_path)
    refused(taken, port, "choose another port", code="conflict")
    refused(desk("serve", "--port", "0"), "Another master", code="conflict")


def test_settings_that_are_wrong_are_named(tmp_path: Path) -> None:
    done = foldstep("serve", cwd=tmp_path, FOLDSTEP_LEASE_TTL_S="-1", FOLDSTEP_PORT="high")
    refused(done, "FOLDSTEP_LEASE_TTL_S", "FOLDSTEP_PORT", code="invalid_input")


@pytest.mark.parametrize(
    "words",
    [
        ("frobnicate",),
        ("searches", "--jsn"),
        ("leaderboard",),
        ("leaderboard", "a", "--limit", "0"),
        ("run", "a.yaml", "--workers", "0"),
        ("show", "a", "first"),
    ],
)
def test_wrong_usage_ends_with_2(desk: Desk, words: tuple[str, ...]) -> None:
    done = no_dir(desk, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: " in done.stderr
    assert "Traceback" not in done.stderr
