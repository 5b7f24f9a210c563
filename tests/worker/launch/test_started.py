"""One process as its launcher hears it: live, to its last words, whatever becomes of the launcher's standard error."""

from __future__ import annotations

import os
import signal
import sys
from io import TextIOWrapper
from pathlib import Path

import pytest

from foldstep.worker.launch.started import End, StartedWorker
from tests.acceptance.processes import until


def started(code: str) -> StartedWorker:
    return StartedWorker([sys.executable, "-c", f"import os, sys, subprocess; {code}"], os.environ)


def test_what_it_says_appears_while_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    worker = started("sys.stderr.write('half a l'); sys.stderr.flush(); sys.stdin.read(); sys.stderr.write('ine\\n')")
    heard: list[str] = []
    until(lambda: bool(heard.append(capsys.readouterr().err)) or "".join(heard) == "half a l", "its first words")
    assert worker.is_running
    assert worker.communicate(b"") == End(0, "half a line")
    assert capsys.readouterr().err == "ine\n"


def test_it_reads_what_it_is_told() -> None:
    worker = started("sys.exit(sys.stdin.read())")
    assert worker.communicate(b"http://master\n") == End(1, "http://master")


@pytest.mark.parametrize("kind", ["none", "closed", "full"])
def test_it_is_heard_to_its_end_where_the_launcher_has_no_standard_error(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/full" if kind == "full" else os.devnull).open("wb", buffering=0) as file:
        stream = TextIOWrapper(file, write_through=True)
        if kind == "closed":
            stream.close()
        monkeypatch.setattr(sys, "stderr", None if kind == "none" else stream)
        worker = started("sys.stderr.write('x' * 1_000_000 + '\\nthe last\\n\\n'); sys.exit(7)")
        assert worker.communicate(b"") == End(7, "the last")


def test_a_process_of_its_own_that_lives_on_holds_nobody_up(capsys: pytest.CaptureFixture[str]) -> None:
    end = started("sys.exit(str(subprocess.Popen(['sleep', '1000']).pid))").communicate(b"")
    os.kill(int(end.said), signal.SIGTERM)
    assert capsys.readouterr().err == f"{end.said}\n"


@pytest.mark.parametrize(
    ("code", "is_final", "words"),
    [
        ("pass", True, "exit code 0"),
        ("sys.exit('foldstep worker: no.')", True, "foldstep worker: no."),
        ("raise ImportError('no torch')", True, "ImportError: no torch"),
        ("sys.exit(1)", True, "exit code 1"),
        ("sys.exit(3)", False, "exit code 3"),
        ("sys.stderr.write('oh\\nno\\n'); sys.exit(3)", False, "exit code 3; its last words: no"),
        ("os.kill(os.getpid(), 11)", False, "killed by SIGSEGV"),
        ("os.kill(os.getpid(), 9)", False, "killed by SIGKILL, as a system does that is out of memory"),
    ],
)
def test_its_end_in_words(code: str, is_final: bool, words: str) -> None:
    end = started(code).communicate(b"")
    assert (end.is_final, str(end)) == (is_final, words)


def test_its_most_memory_and_its_marks_are_seen() -> None:
    worker = started("print('ready', flush=True); x = bytearray(200 << 20); sys.exit(5)")
    end = worker.communicate(b"")
    assert end.exit_code == 5
    assert end.rss_bytes is not None
    assert end.rss_bytes > 200 << 20  # the system counts what its parent had when it started it, too
    assert not end.is_oom
    assert worker.marks == {"ready"}
