"""Every command and file of the user guide is run, page by page, in one folder, as a reader would."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer.main

from foldstep.cli import app
from foldstep.client import Foldstep
from foldstep.service.contract.parse import load_text, parse_spec
from tests.acceptance.guide import ANY_END, FOLDER, NOT_RUN, OUTPUT, GuideBlock, blocks, mentioned, pages
from tests.acceptance.processes import until
from tests.acceptance.readme import Shell
from tests.acceptance.test_readme import free_port

BLOCKS = blocks()
FEWER_TRIALS = {"budget: {trials: 40}": "budget: {trials: 8}"}
LESS_TIME = {"--time 20s": "--time 3s"}
BACKGROUND = ("foldstep serve", "foldstep worker")
ROOT_COMMAND: Any = typer.main.get_command(app)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    port = free_port()
    opened = Shell(
        tmp_path,
        FEWER_TRIALS
        | LESS_TIME
        | {"foldstep worker": "foldstep worker --processes 1", "--port 8765": f"--port {port}"},
    )
    opened.environment["FOLDSTEP_PORT"] = str(port)
    yield opened
    opened.end()


def test_every_page_is_in_the_guide() -> None:
    assert sorted(pages()) == sorted(FOLDER.glob("*.md"))
    assert {b.language for b in BLOCKS} == {"sh", "yaml", "python", "text"}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: f"{b.page}-{b.text.splitlines()[0][:40]}")
def test_note_of_a_block_says_what_it_must(block: GuideBlock) -> None:
    notes = {"sh": (*NOT_RUN, ANY_END), "text": (OUTPUT,), "yaml": NOT_RUN, "python": ()}[block.language]
    assert block.note == "" or block.note.startswith(notes)
    if block.language in ("yaml", "python"):
        assert block.text.startswith("# "), "the first line names the file"


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "yaml" and b.is_run], ids=lambda b: b.file)
def test_spec_is_valid_as_it_is_written(block: GuideBlock) -> None:
    assert parse_spec(load_text(block.text)).budget.trials == 40
    assert all(words in block.text for words in FEWER_TRIALS)


def unknown_options(line: str) -> list[str]:
    """List the options of a command line that its help does not have."""
    words = shlex.split(line.split("|")[-1].replace("|", " "), comments=True)
    command, options = ROOT_COMMAND, []
    for word in words[1:]:
        command = getattr(command, "commands", {}).get(word, command)
    for parameter in command.params:
        options += parameter.opts
    assert command is not ROOT_COMMAND or words[1:] in ([], ["--version"]), f"no command: {line}"
    return [w for w in words if w.startswith("-") and w != "-" and w not in options]


COMMANDS = [
    found[0]
    for line in [
        *mentioned(),
        *(c for b in BLOCKS if b.language == "sh" and not b.note.startswith("waits for: ") for c in b.commands),
    ]
    if (found := re.search(r"\bfoldstep [a-z].*", line))
]


@pytest.mark.parametrize("line", sorted(set(COMMANDS)))
def test_command_has_the_options_that_the_guide_names(line: str) -> None:
    assert unknown_options(line) == []


def test_option_that_no_command_has_is_found() -> None:
    assert unknown_options("foldstep run houses.yaml --quickly") == ["--quickly"]
    with pytest.raises(AssertionError, match="no command"):
        unknown_options("foldstep walk")


def test_every_block_page_by_page(shell: Shell) -> None:
    reader = Reader(shell)
    for page in pages():
        for block in (b for b in BLOCKS if b.page == page.stem and b.is_run):
            getattr(reader, f"do_{block.language}")(block)
        reader.end_of_page()


class Reader:
    """Someone who does everything that the pages say."""

    def __init__(self, shell: Shell) -> None:
        self.shell, self.folder = shell, shell.folder
        self.printed = ""

    def do_yaml(self, block: GuideBlock) -> None:
        (self.folder / block.file).write_text(self.shell.substituted(block.text))

    do_python = do_yaml

    def do_sh(self, block: GuideBlock) -> None:
        rest = []
        for command in block.commands:
            if command.startswith(BACKGROUND):
                self.start(command)
            else:
                rest.append(f"{command} || true" if block.note.startswith(ANY_END) else command)
        if rest:
            self.printed = self.shell.run("\n".join(["exec 2>&1", *rest]))
            assert "Traceback" not in self.printed

    def do_text(self, block: GuideBlock) -> None:
        """Look for what the page says is printed; … stands for anything."""
        if block.note == OUTPUT:
            printed = " ".join(self.printed.split())
            for part in (" ".join(piece.split()) for piece in block.text.split("…")):
                assert part in printed, f"{part!r} is not in\n{self.printed}"

    def start(self, command: str) -> None:
        process = self.shell.start(command)
        address = self.folder / "foldstep-data" / "address"
        until(lambda: address.exists() or process.poll() is not None, "the master's address")
        assert process.poll() is None
        if command.startswith("foldstep worker"):
            token = (self.folder / "foldstep-data" / "token").read_text().strip()
            with closing(Foldstep(address.read_text().strip(), token)) as master:
                until(lambda: self.is_known(master, process), "the worker")

    @staticmethod
    def is_known(master: Foldstep, process: subprocess.Popen[str]) -> bool:
        """Answer whether the master has seen a worker in the seconds since a process began."""
        assert process.poll() is None, "the worker has ended"
        return any((datetime.now(UTC) - worker.last_seen_at).total_seconds() < 2 for worker in master.workers())

    def end_of_page(self) -> None:
        """Press Ctrl-C in every terminal, as a page is over."""
        self.shell.end()
