"""Every command of the README and of the pages of the guide is run, in its order, against real processes."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from packaging.requirements import Requirement

from foldstep.service.contract.parse import load_text, parse_spec
from tests.acceptance.processes import until
from tests.acceptance.readme import BLOCKS, Block, Shell, inline_commands

ROOT = Path(__file__).parents[2]
NOT_RUN = {
    "make demo": "installs from the network; tests/acceptance/test_demo.py runs what it calls, `foldstep demo`",
    "make test": "is what runs this test",
    "foldstep demo": "tests/acceptance/test_demo.py runs it",
    "foldstep run SPEC": "is run with the specs that the pages write",
    "foldstep run SPEC --dir DIR": "tests/foldstep/test_beside.py runs it beside a live master",
    "foldstep datasets replace NAME FILE": "tests/foldstep/test_right_file.py runs it",
    "docker compose --profile gpu up": "needs Docker; tests/acceptance/test_compose.py runs what the file says",
}
FEWER_TRIALS = {"budget: {trials: 40}": "budget: {trials: 8}"}
LESS_TIME = {"--time 30s": "--time 3s"}
ONE_PROCESS = {"foldstep worker": "foldstep worker --processes 1"}
"""What is not run as it is written: the search is smaller, each worker is one process. (Addresses: see `shell`.)"""
BACKGROUND = ("foldstep serve", "foldstep worker")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    port = str(free_port())
    addresses = {"http://master.example:8765": f"http://127.0.0.1:{port}", "8765": port}
    opened = Shell(tmp_path, FEWER_TRIALS | LESS_TIME | ONE_PROCESS | addresses)
    yield opened
    opened.end()


def test_tools_that_the_pages_use_are_there() -> None:
    missing = [tool for tool in ("curl", "bash") if shutil.which(tool) is None]
    assert not missing, f"{missing} missing; `make test` installs them where it may, else: apt-get install curl"


def test_blocks_are_all_of_a_kind_that_is_tested() -> None:
    assert {b.language for b in BLOCKS} == {"sh", "text", "yaml", "python"}
    assert len([b for b in BLOCKS if b.language == "sh"]) >= 8
    commands = [c for b in BLOCKS if b.language == "sh" for c in b.commands] + inline_commands()
    assert not [c for c in NOT_RUN if c not in commands], "an exception that is none any more"


@pytest.mark.parametrize("command", [c for b in BLOCKS for c in b.commands if c.startswith("pip install")])
def test_pip_install_names_what_there_is(command: str) -> None:
    words = shlex.split(command)[2:]
    if "-c" in words:
        constraints = ROOT / words.pop(words.index("-c") + 1)
        words.remove("-c")
        assert "torch==" in constraints.read_text()
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in (w for w in words if w != "-e"):
        requirement = Requirement(word.replace(".[", f"{known['name']}["))
        assert requirement.name in ("torch", known["name"])
        assert requirement.extras <= set(known["optional-dependencies"])


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "yaml"], ids=lambda b: b.text.split("\n")[0])
def test_spec_is_valid_as_it_is_written(block: Block) -> None:
    assert parse_spec(load_text(block.text)).budget.trials == 40
    assert all(words in block.text for words in FEWER_TRIALS)


def answers(text: str) -> list[Any]:
    """The JSON documents that several calls printed one after the other."""
    found, decoder, text = [], json.JSONDecoder(), text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:].lstrip()
    return found


def is_mention(command: str) -> bool:
    """Whether the prose only names a command that stands elsewhere with what it needs, as `foldstep run`."""
    everything = [c for b in BLOCKS for c in b.commands] + inline_commands()
    return any(other.startswith(f"{command} ") for other in everything)


def test_every_block_in_its_order_then_every_inline_command(shell: Shell) -> None:
    Walk(shell).to_the_end()


class Walk:
    """A reader who does everything that the pages say."""

    def __init__(self, shell: Shell) -> None:
        self.shell, self.folder = shell, shell.folder
        self.search = self.under_way = ""
        houses = "".join(f"{i},{i % 7},{'north' if i % 2 else 'south'},{3 * i + i % 5}\n" for i in range(60))
        (self.folder / "houses.csv").write_text("area,rooms,side,price\n" + houses)

    def to_the_end(self) -> None:
        for block in BLOCKS:
            getattr(self, f"do_{block.language}")(block)
        self.wait_for_the_search()
        for command in inline_commands():
            self.do_inline(command)

    def do_text(self, _: Any) -> None:
        """An example of output."""

    def do_yaml(self, block: Any) -> None:
        name = block.text.splitlines()[0].removeprefix("# ")
        (self.folder / name).write_text(self.shell.substituted(block.text))

    def do_python(self, block: Any) -> None:
        (self.folder / "readme.py").write_text(self.shell.substituted(block.text))
        assert self.search in self.shell.run("python readme.py")

    def do_sh(self, block: Any) -> None:
        rest = []
        for command in block.commands:
            if command in NOT_RUN or command.startswith("pip install"):
                continue
            if command.startswith(BACKGROUND):
                self.start(command)
            else:
                rest.append(command)
        if "$ID" in block.text:
            rest.insert(0, f"ID={self.search}")
        if rest:
            self.look_at(self.shell.run("\n".join(rest)), rest)

    def start(self, command: str) -> None:
        if "$TOKEN" in command:
            self.shell.run("TOKEN=$(cat foldstep-data/token)")
        process = self.shell.start(command)
        if command.startswith("foldstep serve"):
            address = self.folder / "foldstep-data" / "address"
            until(lambda: address.exists() or process.poll() is not None, "the master's address")
            assert process.poll() is None
        else:
            until(lambda: self.get(f"/searches/{self.search}/leaderboard")["rows"] != [], "a trial in training")

    def look_at(self, printed: str, commands: list[str]) -> None:
        calls = [c for c in commands if c.startswith("curl")]
        if not calls:
            return
        for call, answer in zip(calls, answers(printed), strict=True):
            assert not (isinstance(answer, dict) and "status" in answer and "faults" in answer), f"{call}: {answer}"
            if "--data-binary" in call and call.endswith("/searches"):
                self.search = answer["id"]

    def get(self, path: str) -> Any:
        token, url = ((self.folder / "foldstep-data" / name).read_text().strip() for name in ("token", "address"))
        return httpx.get(f"{url}/api/v1{path}", headers={"Authorization": f"Bearer {token}"}, trust_env=False).json()

    def wait_for_the_search(self) -> None:
        """The workers of the pages train what curl submitted."""
        until(lambda: self.get(f"/searches/{self.search}")["state"] == "completed", "the search's end")
        until(lambda: len(self.get("/workers")) >= 2, "workers by folder and by address")
        best = self.get(f"/searches/{self.search}")["best"]
        self.trial, (self.checkpoint, *_) = best["trial"], best["checkpoints"]
        url = (self.folder / "foldstep-data/address").read_text().strip()
        assert [httpx.get(url + path, trust_env=False).status_code for path in ("/", "/docs")] == [200, 200]

    def do_inline(self, command: str) -> None:
        if command in NOT_RUN or is_mention(command):
            return
        folder = f"foldstep-data/checkpoints/{self.search}"
        if "FILE.csv" in command:
            self.write_wine()
        words = {
            "CHECKPOINT": f"{folder}/{self.checkpoint}", "FILE.csv": "rows.csv", "FILE": "houses.csv",
            "TRIAL": str(self.trial), "DIR": folder, "ID": self.search,
        }  # fmt: skip
        if command.startswith("foldstep tokens "):
            words["ID"] = self.get("/tokens")[0]["id"]
        filled = re.sub(r"\b(CHECKPOINT|FILE\.csv|FILE|TRIAL|DIR|ID)\b", lambda m: words[m[0]], command)
        if re.match(r"foldstep (pause|resume|stop) ", command):
            self.on_another_search(filled)
        else:
            assert self.shell.run(filled)

    def on_another_search(self, command: str) -> None:
        """What is finished cannot be paused: the verbs go to a search that is long under way."""
        if not self.under_way:
            few, many = (f"trials: {n}}}" for n in (8, 10_000))
            spec = (self.folder / "wine.yaml").read_text()
            (self.folder / "long.yaml").write_text(spec.replace(few, many))
            self.under_way = json.loads(self.shell.run("foldstep submit long.yaml --json"))["id"]
        assert self.shell.run(command.replace(self.search, self.under_way))

    def write_wine(self) -> None:
        from sklearn.datasets import load_wine

        wine = load_wine()
        lines = [",".join(map(str, row)) for row in wine.data]
        (self.folder / "rows.csv").write_text("\n".join([",".join(wine.feature_names), *lines]) + "\n")
