"""A master that is told to end while it reads a file: the one who waits is told so, and no process is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil

from tests.acceptance.processes import until
from tests.service.data.test_allowance import MIB, constant_parquet


def test_a_registration_that_the_end_of_the_master_cuts_short_is_answered(tmp_path: Path) -> None:
    constant_parquet(tmp_path / "many.parquet", 40_000_000)
    own = {"FOLDSTEP_DATA_DIR": str(tmp_path / "data"), "FOLDSTEP_PORT": "0", "FOLDSTEP_TOKEN": "secret",
           "FOLDSTEP_DATA_ROOTS": str(tmp_path), "FOLDSTEP_READER_MEMORY_BYTES": str(8 << 30)}  # fmt: skip
    command = [sys.executable, "-m", "foldstep.service.app"]
    with subprocess.Popen(command, env={**os.environ, **own}, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as master:
        assert master.stdout is not None
        url = master.stdout.readline().decode().strip()
        process = psutil.Process(master.pid)
        with (
            httpx.Client(headers={"Authorization": "Bearer secret"}, timeout=60, trust_env=False) as client,
            ThreadPoolExecutor(1) as pool,
        ):
            asked = {"name": "many", "source": "many.parquet"}
            waiting = pool.submit(client.post, f"{url}/api/v1/datasets", json=asked)
            until(lambda: any(c.memory_info().rss > 200 * MIB for c in process.children()), "a reader at work")
            (reader,) = process.children()
            reader.suspend()  # so that it is not done before the master ends, however fast the machine is
            master.send_signal(signal.SIGTERM)
            answer = waiting.result()
        _, said = master.communicate()
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == "unavailable"
    assert master.returncode == 0
    assert b"Traceback" not in said
    assert not reader.is_running()
