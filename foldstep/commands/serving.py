"""`serve`, `worker`, `upgrade`: run the master and the workers."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from foldstep.connect import DEFAULT_DIR, find_token, find_url
from foldstep.options import REFUSED, Dir, Token, Url, err, out, quiet_exit
from foldstep.service.contract.errors import InvalidInput, Unavailable
from foldstep.service.folder import keep_private, usable_folder

LogJson = Annotated[bool, typer.Option("--log-json", help="Write logs as JSON, one object a line.")]


def serve(
    data_dir: Dir = DEFAULT_DIR,
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 when left out.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on; 8765 when left out, 0 for any.")
    ] = None,
    keep_days: Annotated[
        float | None,
        typer.Option(help="Days after which ended searches are deleted, idle ones stopped; never when left out."),
    ] = None,
    log_json: LogJson = False,
    tls_cert: Annotated[
        Path | None, typer.Option(help="PEM file of the certificate, with its chain; serves HTTPS.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its key, without a password.")] = None,
    root_path: Annotated[
        str | None, typer.Option(help="Path under which a proxy serves the master, as /foldstep.")
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(help="Address or network of a proxy whose X-Forwarded headers are believed; may be repeated."),
    ] = None,
    with_parent: Annotated[bool, typer.Option(hidden=True, help="End when standard input is closed.")] = False,
) -> None:
    """Run the master: API, database, planner and page. Settings come from FOLDSTEP_* too (docs/settings.md)."""
    from foldstep.service.app import serve as serve_app
    from foldstep.service.settings import settings_from_environment

    if with_parent:
        threading.Thread(target=_end_with_standard_input, daemon=True).start()
    environment = {**os.environ, "FOLDSTEP_DATA_DIR": str(data_dir)}
    if log_json:
        environment["FOLDSTEP_LOG_FORMAT"] = "json"
    proxies = ",".join(trusted_proxy or ()) or None
    given: dict[str, Any] = {"tls_cert": tls_cert, "tls_key": tls_key, "root_path": root_path}
    given |= {"trusted_proxies": proxies, "keep_days": keep_days}
    settings = settings_from_environment(environment, **{n: value for n, value in given.items() if value is not None})
    serve_app(settings, host, port, answering="foldstep.answering")


def _end_with_standard_input() -> None:
    while os.read(0, 4096):  # not through sys.stdin: a daemon thread would hold its lock when the process ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def worker(
    url: Url = None,
    token: Token = None,
    data_dir: Dir = DEFAULT_DIR,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes; one a GPU or CPU core when left out.")
    ] = None,
    members: Annotated[int, typer.Option(min=0, help="Networks to ask for at once; 0 for what fits the device.")] = 0,
    patience: Annotated[float, typer.Option(help="Seconds to wait for a master that is not there.")] = 7200.0,
    cache: Annotated[Path | None, typer.Option(help="Folder for data files.")] = None,
    log_json: LogJson = False,
) -> None:
    """Train the trials of a master. Needs only its address and token; ends cleanly on SIGTERM."""
    from foldstep.worker.launch.local import WorkerCommand, WorkerGroup, find_devices
    from foldstep.worker.settings import default_cache_dir

    _check_device(device)
    keep_private()
    os.environ.setdefault("FOLDSTEP_LOG_LEVEL", "info")  # for its processes, which inherit it
    if log_json:
        os.environ["FOLDSTEP_LOG_FORMAT"] = "json"
    master, its_token = find_url(url, data_dir), find_token(token, data_dir)
    command = WorkerCommand(cache or default_cache_dir(), members, patience)
    devices = find_devices(device, processes)
    group = WorkerGroup(command, devices)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: group.leave())
    noun = "worker process" if len(devices) == 1 else "worker processes"
    err.print(f"{len(devices)} {noun} ({', '.join(sorted(set(devices)))}) for {master}")
    group.start()
    group.connect(master, its_token)
    exit_code = group.wait()
    if not all(end.is_final for end in group.ends.values()):  # refusals are on the screen already
        raise Unavailable(f"The worker processes have ended: {group.reason}.")
    quiet_exit(REFUSED if exit_code else 0)


def _check_device(device: str) -> None:
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not (kind == "cuda" and index.isdecimal())):
        raise InvalidInput(f"There is no device {device}; take auto, cpu, cuda or cuda:N.")


def upgrade(data_dir: Dir = DEFAULT_DIR) -> None:
    """Migrate the database to this version. `serve` does so automatically."""
    from foldstep.service.db.engine import Database
    from foldstep.service.db.migrate import upgrade as upgrade_database
    from foldstep.service.settings import settings_from_environment

    settings = settings_from_environment({**os.environ, "FOLDSTEP_DATA_DIR": str(data_dir)})
    keep_private()
    usable_folder(settings.data_dir)
    database = Database(settings.resolved_database_url)
    try:
        upgrade_database(database)
    finally:
        database.close()
    out.print("The database is at this version.")
