"""Names and beginnings of ids in place of ids, deletion, and faults of a spec with their line, by the commands."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from foldstep.commands.removing import in_words
from foldstep.service.contract.footprint import Footprint
from tests.acceptance.processes import Processes, foldstep
from tests.foldstep.conftest import Desk, refused

SPEC = "name: {name}\nmethod: random\ndata: {{dataset: wine}}\nparameters: {{lr: {{low: 0.1, high: 1}}}}\n"


def submitted(desk: Desk, name: str) -> str:
    done = desk("submit", desk.write(f"{name}.yaml", SPEC.format(name=name)), "--json")
    assert done.returncode == 0, done.stderr
    return re.findall(r'"id": "([^"]+)"', done.stdout)[0]


def test_commands_take_a_name_or_the_beginning_of_an_id(desk: Desk) -> None:
    search = submitted(desk, "named")
    for word in (search, "named", search[:8]):
        assert search in desk("show", word).stdout
    assert desk("pause", "named").stdout == f"{search} is paused.\n"
    assert desk("leaderboard", search[:7], "--json").stdout.count(f'"search": "{search}"') == 1
    assert desk.master.search("named").id == search
    other = submitted(desk, "named")
    done = desk("stop", "named")
    refused(done, search, other, code="ambiguous")
    assert re.search(r"of 2\d\d\d-\d\d-\d\d \d\d:\d\d UTC", done.stderr)
    refused(desk("show", "nmaed"), "nmaed", "Did you mean named?", code="not_found")


@pytest.fixture
def idle_desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk without a worker, in whatever order tests run."""
    with Processes(tmp_path) as processes:
        _, master = processes.master(FOLDSTEP_DATA_ROOTS=str(tmp_path))
        yield Desk(tmp_path, processes, master)


def test_delete_needs_a_word_where_there_is_no_terminal(idle_desk: Desk) -> None:
    search = submitted(idle_desk, "doomed")
    done = idle_desk("delete", "doomed", stdin="y\n")
    assert done.returncode == 1
    assert "add --yes" in done.stderr
    assert idle_desk.master.search(search).id == search
    done = idle_desk("delete", "doomed", "--yes")
    assert done.stdout.splitlines() == [
        f"{search}, which is queued: 0 trials, no files.",
        f"{search} is deleted: 0 trials, no files.",
    ]
    refused(idle_desk("delete", "doomed", "--yes"), "doomed", code="not_found")


def answered(desk: Desk, answer: str, *words: str) -> tuple[int, str]:
    """Run a command on a terminal, and answer its question."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "foldstep", *words, "--dir", "data"]
    with subprocess.Popen(argv, cwd=desk.folder, stdin=theirs, stdout=subprocess.PIPE, text=True) as process:
        os.close(theirs)
        os.write(ours, answer.encode())
        out, _ = process.communicate(timeout=60)
        os.close(ours)
    return process.returncode, out


def test_delete_asks_on_a_terminal(idle_desk: Desk) -> None:
    search = submitted(idle_desk, "asked")
    exit_code, said = answered(idle_desk, "n\n", "delete", "asked")
    assert (exit_code, "Nothing is deleted." in said) == (1, True)
    assert idle_desk.master.search(search).id == search
    exit_code, said = answered(idle_desk, "y\n", "delete", "asked")
    assert (exit_code, f"{search} is deleted: 0 trials, no files." in said) == (0, True)
    assert [seen.id for seen in idle_desk.master.searches() if seen.id == search] == []


def test_delete_says_how_much_it_removes(busy_desk: Desk) -> None:
    text = SPEC.format(name="kept") + "budget: {trials: 2}\ncv: {folds: 2}\n"
    done = busy_desk("submit", busy_desk.write("kept.yaml", text), "--watch")
    assert done.returncode == 0, done.stderr
    view = busy_desk.master.search("kept")
    folder = Path(view.checkpoint_dir)
    sizes = [file.stat().st_size for file in folder.iterdir()]
    footprint = busy_desk.master.footprint("kept")
    assert footprint == Footprint(trials=2, files=len(sizes), bytes=sum(sizes))
    assert len(sizes) >= 4
    done = busy_desk("delete", "kept", "--yes")
    assert done.stdout.splitlines()[0] == f"{view.id}: {in_words(footprint)}."
    assert not folder.exists()


def test_sizes_in_words() -> None:
    cases = {(1, 1, 999): "1 trial, 1 file of 999 bytes", (1200, 2, 1_250_000): "1,200 trials, 2 files of 1.2 MB"}
    cases |= {(0, 0, 0): "0 trials, no files", (2, 3, 5_600_000_000): "2 trials, 3 files of 5.6 GB"}
    for (trials, files, n_bytes), words in cases.items():
        assert in_words(Footprint(trials=trials, files=files, bytes=n_bytes)) == words


def test_faults_of_a_spec_name_the_file_and_the_line(desk: Desk) -> None:
    text = "name: houses\ndata:\n  dataset: wine\nparameters:\n  lr:\n    low: -1\n    high: 0.1\n"
    desk.write("houses.yaml", text)
    for command in ("submit", "check"):
        words = "houses.yaml line 6: parameters.lr.low: expected a number above 0"
        refused(desk(command, "houses.yaml"), words, code="spec_invalid")
    desk.write("absent.yaml", "name: a\n\ndata: {dataset: absent.csv, target: y}\n")
    refused(desk("submit", "absent.yaml"), "absent.yaml line 3: data.dataset: expected", code="dataset_unreadable")
    desk.write("twice.yaml", "name: a\ndata: {dataset: wine}\nname: b\n")
    refused(desk("submit", "twice.yaml"), "twice.yaml line 3: name: expected each key once, got it in line 1",
            code="spec_invalid")  # fmt: skip
    desk.write("tab.yaml", "name: a\ndata:\n\tdataset: wine\n")
    refused(desk("submit", "tab.yaml"), "tab.yaml line 3, column 1: ", "indent with spaces", code="spec_invalid")


def test_faults_of_a_body_in_yaml_name_the_line(desk: Desk) -> None:
    headers = {"Authorization": f"Bearer {(desk.folder / 'data' / 'token').read_text().strip()}"}
    url = f"{desk.master.url}/api/v1/searches"
    text = "name: a\ndata: {dataset: wine}\nmethod: magic\n"
    in_yaml = httpx.post(url, content=text, headers={**headers, "Content-Type": "application/yaml"}).json()
    assert [(f["path"], f["where"]) for f in in_yaml["faults"]] == [("method", "line 3")]
    in_json = httpx.post(url, json={"name": "a", "data": {"dataset": "wine"}, "method": "magic"}, headers=headers)
    assert [(f["path"], f["where"]) for f in in_json.json()["faults"]] == [("method", None)]
    twice = '{"name": "a", "data": {"dataset": "wine", "dataset": "iris"}}'
    answer = httpx.post(url, content=twice, headers={**headers, "Content-Type": "application/json"})
    assert [(f["code"], f["path"]) for f in answer.json()["faults"]] == [("duplicate_key", "dataset")]


def test_a_path_that_is_not_there_names_the_nearest_file(desk: Desk) -> None:
    desk.write("houses.yaml", SPEC.format(name="houses"))
    desk.write("table.csv", "a,y\n1,0\n2,1\n")
    done = desk("submit", "hauses.yaml")
    refused(done, f"looked in {desk.folder}; did you mean houses.yaml?", code="invalid_input")
    refused(desk("datasets", "add", "t", "tabel.csv"), "did you mean table.csv?", code="invalid_input")
    desk.write("wrong.yaml", "name: a\ndata: {dataset: tabel.csv, target: y}\n")
    refused(
        desk("submit", "wrong.yaml"),
        "wrong.yaml line 2",
        "the nearest file name there is table.csv",
        code="dataset_unreadable",
    )
    desk.write("net.safetensors", "")
    done = foldstep("predict", "net.safetensor", "table.csv", cwd=desk.folder)
    refused(done, "There is no file net.safetensor; looked in", "did you mean net.safetensors?", code="invalid_input")
