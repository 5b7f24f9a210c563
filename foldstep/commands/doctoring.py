"""`doctor`: look over this machine, an installation and its master."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from foldstep.client import Foldstep
from foldstep.connect import DEFAULT_DIR, connect
from foldstep.options import REFUSED, Dir, Json, Token, Url, out, print_json, quiet_exit
from foldstep.service.contract.errors import FoldstepError, Unavailable
from foldstep.service.contract.states import TERMINAL_SEARCH
from foldstep.service.contract.version import VERSION_HEADER, __version__

if TYPE_CHECKING:
    from foldstep.service.flow.inspection import Finding

_CLOCK_S = 5.0
_COLOURS = {"ok": "green", "look": "yellow", "bad": "red"}


def doctor(data_dir: Dir = DEFAULT_DIR, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Look over this machine, the data folder and the master, running or not; say what is wrong and what to do."""
    findings = [*_of_machine(), *_of_folder(data_dir, url), *_of_master(data_dir, url, token)]
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            _show(finding)
    quiet_exit(REFUSED if any(finding.level == "bad" for finding in findings) else 0)


def _show(finding: Finding) -> None:
    way_out = f" → {finding.way_out}" if finding.way_out else ""
    style = None if finding.level == "ok" else _COLOURS[finding.level]
    line = f"{finding.check}: {finding.said}{way_out}"
    out.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def _of_machine() -> Iterator[Finding]:
    from foldstep.service.flow.inspection import Finding

    yield Finding("Python", "ok", f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores")
    for package, extra in (("torch", "worker"), ("safetensors", "worker"), ("psycopg", "postgres")):
        there = importlib.util.find_spec(package) is not None
        yield (
            Finding(package, "ok", "there")
            if there
            else Finding(package, "ok", "missing", f"pip install 'foldstep[{extra}]'")
        )
    if importlib.util.find_spec("torch") is not None:
        from foldstep.worker.launch.local import find_devices
        from foldstep.worker.steps.compiled import gains_from_bf16, why_not

        yield Finding("compiled backend", "ok", why_not() or "there")
        gain = "faster here" if gains_from_bf16() else "no gain here, so networks train in float32"
        yield Finding("precision bfloat16", "ok", gain)
        yield Finding("a worker here would use", "ok", ", ".join(find_devices("auto", None)))


def _of_folder(data_dir: Path, url: str | None) -> list[Finding]:
    """Look over the folder, unless the master is named by its address alone."""
    from foldstep.service.flow.inspection import inspect_folder
    from foldstep.service.settings import settings_from_environment

    if (url or os.environ.get("FOLDSTEP_URL")) and not data_dir.is_dir():
        return []
    if not data_dir.is_dir() and data_dir == DEFAULT_DIR:
        return []  # no folder was named, and there is none
    return inspect_folder(settings_from_environment({**os.environ, "FOLDSTEP_DATA_DIR": str(data_dir)}))


def _of_master(data_dir: Path, url: str | None, token: str | None) -> list[Finding]:
    from foldstep.service.flow.inspection import Finding

    try:
        master = connect(url, token, data_dir)
        return [*_answer(master), *_work(master)]
    except FoldstepError as error:
        is_stopped = isinstance(error, Unavailable) and (data_dir / "token").is_file() and url is None
        way_out = "" if error.message.endswith(".") else "start it"
        return [Finding("master", "look" if is_stopped else "bad", error.message, way_out)]


def _answer(master: Foldstep) -> Iterator[Finding]:
    """Compare version and clock, and ask whether it is ready."""
    from foldstep.service.flow.inspection import Finding

    try:
        answer = httpx.get(f"{master.url}/readyz", timeout=5.0, trust_env=False)
    except httpx.HTTPError:
        return  # the next call says so in words
    ready: dict[str, Any] = answer.json()
    if answer.status_code != 200:
        yield Finding("ready", "bad", str(ready.get("detail", "it is not ready")), "mend that, and ask again")
    theirs = answer.headers.get(VERSION_HEADER, "unknown")
    if theirs != __version__:
        yield Finding("versions", "look", f"the master is {theirs}, this is {__version__}", "install the same version")
    if "date" in answer.headers:
        apart_s = abs((parsedate_to_datetime(answer.headers["date"]) - datetime.now(UTC)).total_seconds())
        is_apart = apart_s > _CLOCK_S
        said = f"{apart_s:.0f} s from the master's" if is_apart else "the same as the master's"
        yield Finding("clock", "look" if is_apart else "ok", said, "set both by NTP" if is_apart else "")


def _work(master: Foldstep) -> Iterator[Finding]:
    from foldstep.service.flow.inspection import Finding

    workers, searches = master.workers(), master.searches()
    live = sum(worker.live for worker in workers)
    is_waiting = not live and any(search.state not in TERMINAL_SEARCH for search in searches)
    if is_waiting:
        yield Finding("workers", "look", "searches wait, and no worker is alive", f"foldstep worker --url {master.url}")
    noun = "live worker" if live == 1 else "live workers"
    yield Finding(f"master at {master.url}", "ok", f"{len(searches)} searches, {live} {noun}")
