"""`foldstep demo` as a newcomer sees it: what `make demo` runs after it has installed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.processes import WAIT_S

EDGE = re.compile(r"lies at the (low|high) edge|improve towards the (low|high) edge|No best value sits at the edge")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "foldstep", "demo", "--stay"], cwd=tmp_path, env={**os.environ, "COLUMNS": "200"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=WAIT_S)


def test_demo(demo: subprocess.Popen[str], tmp_path: Path) -> None:
    assert demo.stdout is not None
    lines = []
    for line in demo.stdout:
        lines.append(line.rstrip())
        if line.startswith("The page stays up until Ctrl-C"):
            break
    text = "\n".join(lines)
    best = re.search(r"^│ +1 │ +\d+ │ (0\.\d{5}) │", text, re.MULTILINE)
    assert best is not None, text
    assert float(best[1]) >= 0.97, "cross-validated accuracy on digits"
    assert EDGE.search(text), text
    (path,) = re.findall(r"^Best checkpoint: (.+)$", text, re.MULTILINE)
    assert Path(path).is_file()
    ended = r"^digits-demo-\w+: completed, 92 trials\. Together they trained [\d,]+ epochs\.$"
    assert re.search(ended, text, re.MULTILINE), text
    page, search = re.findall(r"(http://127\.0\.0\.1:\d+/)#(digits-demo-\w+)", lines[-1])[0]
    assert "<title>Foldstep</title>" in httpx.get(page, trust_env=False).text
    token = (tmp_path / "foldstep-demo/token").read_text().strip()
    answer = httpx.get(f"{page}api/v1/searches/{search}", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    assert answer.json()["state"] == "completed"
    demo.send_signal(signal.SIGINT)
    out, err = demo.communicate(timeout=WAIT_S)
    assert demo.returncode == 0, err
    assert "foldstep serve --dir foldstep-demo" in out
    assert "Traceback" not in err
