"""`backup` while a worker trains, `restore`, and on: the search ends as the undisturbed one, bit for bit."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.processes import Processes, assert_same, foldstep, results, spec, terminate, until


def others_may(path: Path) -> int:
    return path.stat().st_mode & 0o077


def test_a_restored_search_goes_on_and_ends_with_the_same_bits(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        process, master = processes.master()
        processes.worker(master, members=6)
        search = master.submit(spec("kept", 6)).id
        until(lambda: master.search(search).counts.get("completed", 0) > 0, "a trial ends")
        done = foldstep("backup", "b.tar", "--dir", "data", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert "read back and checked" in done.stdout
        assert others_may(tmp_path / "b.tar") == 0
        assert master.wait(search).state == "completed"
        expected = results(master, search)
        terminate(process)
        done = foldstep("restore", "b.tar", "--dir", "new", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert [path for path in (tmp_path / "new").rglob("*") if others_may(path)] == []
        processes.data_dir = tmp_path / "new"
        _, restored = processes.master()
        assert restored.search(search).counts.get("completed", 0) > 0
        processes.worker(restored)
        assert_same(restored, search, expected, processes)
        again = foldstep("restore", "b.tar", "--dir", "new", cwd=tmp_path)
        assert again.returncode == 1
        assert "Another master serves" in again.stderr
