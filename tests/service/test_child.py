"""A child that is asked once: answers and refusals come back as they were, and its end is one of two errors."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from foldstep.service.child import ChildDied, ChildTooSlow, ask, delete_leavings
from foldstep.service.contract.errors import NotFound
from tests.acceptance.processes import WAIT_S, Processes, until

MAIN = """
import os, sys, time
from pydantic import BaseModel
from foldstep.service.child import answer_once
from foldstep.service.contract.errors import NotFound

class Answer(BaseModel):
    said: str
    threads: str

def perform(request):
    match request["way"]:
        case "refuse": raise NotFound("There is no such thing.")
        case "raise": raise ValueError("out of luck")
        case "vanish": os._exit(7)
        case "hang": time.sleep(600)
    print("a library that talks")
    os.write(1, b"and one in C")
    return Answer(said=request["way"], threads=os.environ["OMP_NUM_THREADS"])

answer_once(perform)
"""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "obedient").mkdir()
    (tmp_path / "obedient/__main__.py").write_text(MAIN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])]))


def test_what_a_library_prints_is_no_part_of_the_answer() -> None:
    assert ask("obedient", {"way": "ärgern"}, 60) == {"said": "ärgern", "threads": "1"}


def test_a_refusal_is_the_same_typed_error() -> None:
    with pytest.raises(NotFound, match=r"There is no such thing\."):
        ask("obedient", {"way": "refuse"}, 60)


@pytest.mark.parametrize(("way", "said"), [("raise", "ValueError: out of luck"), ("vanish", "exit code 7")])
def test_a_child_that_dies_says_why(way: str, said: str) -> None:
    with pytest.raises(ChildDied) as died:
        ask("obedient", {"way": way}, 60)
    assert str(died.value).endswith(said)


def test_a_child_that_hangs_is_given_up() -> None:
    with pytest.raises(ChildTooSlow):
        ask("obedient", {"way": "hang"}, 2)


# -- the parent is killed ---------------------------------------------------------------------------------------------

PARENT = """
import sys
from foldstep.service.child import ask
ask("obedient", {"way": "hang"}, 600)
"""
PLANNER = """
import sys, threading, time
from foldstep.service.planner.child import Child
child = Child()
starter = threading.Thread(target=child._running)
starter.start()
starter.join()
print(child._process.pid, flush=True)
time.sleep(600)
"""


def test_a_killed_master_leaves_no_child_that_works_for_it() -> None:
    parent = psutil.Popen([sys.executable, "-c", PARENT])
    until(lambda: bool(parent.children()), "a child at work")
    (child,) = parent.children()
    parent.kill()
    parent.wait()
    child.wait(WAIT_S)


def test_what_a_killed_master_left_of_its_children_goes_and_what_others_use_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    killed, other = (psutil.Popen([sys.executable, "-c", PARENT]) for _ in range(2))
    until(lambda: len(folders(tmp_path)) == 2, "two children at work")
    until(lambda: all(parent.children() for parent in (killed, other)), "two children at work")
    children = [child for parent in (killed, other) for child in parent.children()]
    killed.kill()
    killed.wait()
    children[0].wait(WAIT_S)
    (tmp_path / "foldstep-child-file").write_text("no folder")
    until(lambda: delete_leavings() or len(folders(tmp_path)) == 1, "the folder of the killed one is gone")
    delete_leavings()
    assert len(folders(tmp_path)) == 1, "that of the other is in use"
    other.kill()
    other.wait()
    until(lambda: delete_leavings() or not folders(tmp_path), "now it is not")


def test_a_master_deletes_such_folders_when_it_starts(processes: Processes, tmp_path: Path) -> None:
    left = tmp_path / "foldstep-child-left"
    left.mkdir()
    os.utime(left, (0, 0))
    processes.master(TMPDIR=str(tmp_path))
    until(lambda: not left.exists(), "the folder is gone")


def folders(place: Path) -> list[Path]:
    return [path for path in place.glob("foldstep-child-*") if path.is_dir()]


def test_the_planners_child_outlives_the_thread_that_started_it_and_not_the_master() -> None:
    parent = psutil.Popen([sys.executable, "-c", PLANNER], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    time.sleep(1)
    assert child.is_running()
    assert child.status() != psutil.STATUS_ZOMBIE
    parent.kill()
    parent.wait()
    parent.stdout.close()
    child.wait(WAIT_S)


def test_a_folder_where_the_master_started_is_no_package_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "start/obedient").mkdir(parents=True)
    (tmp_path / "start/obedient/__main__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path / "start")
    assert ask("obedient", {"way": "answer"}, 60)["said"] == "answer"
