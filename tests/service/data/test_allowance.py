"""Files that are made to take all memory, all time or all of the disk: each ends its reader, in words."""

from __future__ import annotations

import gzip
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from foldstep.service.child import Limits
from foldstep.service.contract.errors import DatasetUnreadable
from foldstep.service.data.allowance import limits_for, machine_bytes
from foldstep.service.data.child import ingest_in_child
from foldstep.service.settings import Settings
from tests.acceptance.processes import WAIT_S, until

MIB = 1 << 20


def refusal_of(path: Path, limits: Limits) -> tuple[str, str]:
    with pytest.raises(DatasetUnreadable) as refused:
        ingest_in_child(path, into=path.parent / "into", limits=limits)
    assert "Traceback" not in refused.value.message
    (fault,) = refused.value.faults
    return fault.code, refused.value.message


def constant_parquet(path: Path, n_rows: int) -> Path:
    """Write a file of a few kilobytes with as many rows as one likes."""
    block = pa.table({"a": pa.array([1.0]).take(pa.array([0] * 1_000_000)), "b": pa.array([2] * 1_000_000)})
    with pq.ParquetWriter(path, block.schema, compression="zstd") as writer:
        for _ in range(n_rows // 1_000_000):
            writer.write_table(block)
    return path


def test_a_decompression_bomb_is_told_by_what_it_unpacks_to(tmp_path: Path) -> None:
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb", compresslevel=9) as file:
        file.write(b"a,b\n")
        for _ in range(200):
            file.write(b"1,2\n" * 250_000)
    assert path.stat().st_size < MIB
    code, message = refusal_of(path, limits_for(Settings(), path))
    assert code == "unpacks_without_end"
    assert "unpack it" in message


def test_a_file_that_takes_more_memory_than_its_reader_may_have_is_refused(tmp_path: Path) -> None:
    path = constant_parquet(tmp_path / "many.parquet", 40_000_000)
    assert path.stat().st_size < MIB
    code, message = refusal_of(path, Limits(memory_bytes=300 * MIB))
    assert code == "needs_memory"
    assert "300 MiB" in message
    assert "FOLDSTEP_READER_MEMORY_BYTES" in message


def test_a_file_that_takes_more_time_than_its_reader_may_have_is_refused(tmp_path: Path) -> None:
    path = constant_parquet(tmp_path / "many.parquet", 40_000_000)
    code, message = refusal_of(path, Limits(cpu_s=1))
    assert code == "too_slow"
    assert "FOLDSTEP_READER_CPU_S" in message


@pytest.mark.parametrize("name", ["digits", "table.csv", "table.parquet"])
def test_a_plain_file_is_read_within_the_limits_that_are_chosen_for_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if path.suffix == ".csv":
        path.write_text("a,b\n" + "".join(f"{i},{i % 3}\n" for i in range(300_000)))
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"a": list(range(300_000)), "b": ["x"] * 300_000}), path)
    source = path if path.suffix else name
    found = ingest_in_child(source, into=tmp_path / "into", limits=limits_for(Settings(), path))
    assert found.n_rows > 1000


def test_limits_grow_with_the_file_up_to_the_machine_and_settings_overrule(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n" * 1_000_000)
    small, great = limits_for(Settings(), tmp_path / "none"), limits_for(Settings(), path)
    assert small.memory_bytes < great.memory_bytes <= machine_bytes()
    with path.open("r+b") as file:
        file.truncate(1 << 42)  # with a hole, so that no disk is needed
    assert limits_for(Settings(), path).memory_bytes <= machine_bytes()
    given = Settings(reader_memory_bytes=7, reader_cpu_s=8)
    assert limits_for(given, path) == Limits(memory_bytes=7, cpu_s=8)


def test_a_reader_at_work_ends_with_a_killed_master(tmp_path: Path) -> None:
    path = constant_parquet(tmp_path / "many.parquet", 40_000_000)
    program = f"""
        from pathlib import Path
        from foldstep.service.data.child import ingest_in_child
        ingest_in_child(Path({str(path)!r}), into=Path({str(tmp_path)!r}))
    """
    master = psutil.Popen([sys.executable, "-c", textwrap.dedent(program)], stderr=subprocess.DEVNULL)
    until(lambda: bool(master.children()), "a reader at work")
    (child,) = master.children()
    until(lambda: child.memory_info().rss > 200 * MIB, "a reader that has begun to read")
    master.kill()
    master.wait()
    child.wait(WAIT_S)
