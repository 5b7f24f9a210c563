"""Every setting of the master, with its unit and its default; each is read from `FOLDSTEP_<NAME>`."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from foldstep.service.contract.errors import Fault, InvalidInput
from foldstep.service.contract.logs import LogFormat, LogLevel

PREFIX = "FOLDSTEP_"


_PRIVATE = (
    "address", "checkpoints", "datasets", "files", "foldstep.db", "foldstep.db-shm", "foldstep.db-wal", "master.lock",
    "snapshots", "token", "uploads",
)  # fmt: skip
_SYSTEM = ("boot", "dev", "etc", "proc", "run", "sys")


def working_root(folder: Path) -> tuple[Path, ...]:
    """Choose the working directory as a root, or none where nobody meant its files to be data.

    That is so in `/`, in a folder of the system's, in an account's own folder and in one above it.
    """
    real = folder.resolve()
    homes = [Path(account.pw_dir).resolve() for account in pwd.getpwall() if account.pw_dir.startswith("/")]
    homes.append(Path.home().resolve())
    is_system = real.parent == real or real.parts[1] in _SYSTEM
    return () if is_system or any(home.is_relative_to(real) for home in homes) else (folder,)


class Settings(BaseModel):
    """The settings of a master."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path = Field(
        default=Path("foldstep-data"),
        description="folder of the SQLite database, the token, uploaded files, the canonical data files and the "
        "checkpoints",
    )
    database_url: str = Field(
        default="",
        description="postgresql://user:password@host/name; a SQLite file in the data folder when empty",
    )
    data_roots: tuple[Path, ...] = Field(
        default=(),
        description="folders that data files may be read from, separated by ':'; when empty the data folder, and the "
        "working directory unless that is one of the system's or of an account; hidden files are never read",
    )
    token: str = Field(
        default="", description="what clients must show; made at the first start and kept in a file when empty"
    )
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8765, ge=0, le=65535, description="port to listen on; 0 for any free one")
    lease_ttl_s: float = Field(
        default=60.0, gt=0, description="seconds without a word of a worker after which it loses its trials"
    )
    report_interval_s: float = Field(default=1.0, gt=0, description="seconds between the reports of a worker")
    sweep_interval_s: float = Field(default=2.0, gt=0, description="seconds between two looks for expired leases")
    max_attempts: int = Field(
        default=3,
        ge=1,
        description="times that a trial ends its worker, alone on it, before it is given up; four times as many where "
        "the worker may have been killed from outside",
    )
    plan_ahead: int = Field(
        default=256, ge=1,
        description="trials that wait at most for a worker, in each search; on Postgres those of 12 leases, if more",
    )  # fmt: skip
    max_upload_bytes: int = Field(default=1 << 30, ge=1, description="greatest size of an uploaded file, in bytes")
    keep_days: float | None = Field(
        default=None,
        gt=0,
        le=36_500,
        description="days after which a search that has ended is deleted with its files, and one that nobody works on "
        "is stopped; never when empty",
    )
    max_search_bytes: int = Field(
        default=0,
        ge=0,
        description="bytes of checkpoints and snapshots that a search may keep: beyond that the checkpoints of its "
        "worst trials are deleted; 0 for no limit",
    )
    log_format: LogFormat = Field(
        default="text", description="text, or json: one object a line; the logs go to standard error"
    )
    log_level: LogLevel = Field(default="info", description="the least that is logged: debug, info, warning or error")
    reader_memory_bytes: int = Field(
        default=0, ge=0, description="memory that reading one data file may take, in bytes; 0: by the file's size"
    )
    reader_cpu_s: int = Field(
        default=0,
        ge=0,
        description="seconds on the processor that reading one data file may take; 0: by the file's size",
    )
    compute_memory_bytes: int = Field(
        default=0,
        ge=0,
        description="memory that an analysis, or the model of a learning method, may take, in bytes; 0: 70 % of the "
        "machine's",
    )
    network_bytes: int = Field(
        default=0,
        ge=0,
        description="memory that one network may take in training, in bytes: a space with a greater one is refused; 0: "
        "the memory of the master's machine",
    )
    max_spec_bytes: int = Field(default=4 << 20, ge=1, description="greatest size of a spec, in bytes")
    max_body_bytes: int = Field(default=32 << 20, ge=1, description="greatest size of any other request, in bytes")
    max_predict_bytes: int = Field(
        default=32 << 20, ge=1, description="greatest size of the rows of one request to predict, in bytes"
    )
    max_predict_rows: int = Field(default=100_000, ge=1, description="rows that one request may ask to predict")
    tls_cert: Path | None = Field(default=None, description="PEM file of the certificate, with its chain, for HTTPS")
    tls_key: Path | None = Field(default=None, description="PEM file of its key, without a password")
    root_path: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="path under which a proxy serves the master, as /foldstep; the proxy takes it away",
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, "
        "separated by ','; nobody's when empty",
    )
    max_connections: int = Field(
        default=1000,
        ge=1,
        description="connections that may be open at a time; beyond them the one that has waited longest for a "
        "request is closed",
    )
    head_timeout_s: float = Field(
        default=10.0, gt=0, description="seconds within which the head of a request has to arrive"
    )
    max_calls_per_s: float = Field(default=5000.0, gt=0, description="calls a second with one token")
    wrong_tokens_per_minute: int = Field(
        default=10, ge=1, description="wrong tokens that one address may send in a minute"
    )

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _proxies(cls, value: Any) -> Any:
        found = tuple(p.strip() for p in value.split(",") if p.strip()) if isinstance(value, str) else tuple(value)
        for proxy in found:
            ip_network(proxy)
        return found

    @field_validator("data_roots", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(p for p in value.split(os.pathsep) if p) if isinstance(value, str) else value

    @property
    def resolved_database_url(self) -> str:
        """The database's address with the driver named."""
        if not self.database_url:
            return f"sqlite:///{quote(str(self.data_dir.absolute() / 'foldstep.db'))}"
        scheme, separator, rest = self.database_url.partition("://")
        return f"postgresql+psycopg://{rest}" if separator and scheme.startswith("postgres") else self.database_url

    @property
    def allowed_roots(self) -> tuple[Path, ...]:
        """Folders that data files may be read from, absolute."""
        return tuple(p.absolute() for p in self.data_roots or (*working_root(Path.cwd()), self.data_dir))

    @property
    def private_paths(self) -> tuple[Path, ...]:
        """The master's own files and folders in the data folder, which are never read as data."""
        return tuple(self.data_dir.absolute() / name for name in _PRIVATE)

    @property
    def datasets_dir(self) -> Path:
        """Canonical data files, named by their fingerprints."""
        return self.data_dir / "datasets"

    @property
    def checkpoints_dir(self) -> Path:
        """One folder of checkpoints for each search."""
        return self.data_dir / "checkpoints"

    @property
    def snapshots_dir(self) -> Path:
        """One folder of snapshots for each search."""
        return self.data_dir / "snapshots"

    @property
    def uploads_dir(self) -> Path:
        """Files that are being uploaded."""
        return self.data_dir / "uploads"

    @property
    def files_dir(self) -> Path:
        """Uploaded files as they came, named by the SHA-256 of their bytes."""
        return self.data_dir / "files"


def settings_from_environment(environment: Mapping[str, str] = os.environ, **given: Any) -> Settings:
    """Read the settings: those in `given` come first, then the environment's, then the defaults.

    Raises:
        InvalidInput: a value has the wrong type or is out of range; the faults name the variables.
    """
    found = {n: environment[PREFIX + n.upper()] for n in Settings.model_fields if environment.get(PREFIX + n.upper())}
    try:
        return Settings.model_validate({**found, **given})
    except ValidationError as error:
        faults = [
            Fault(
                code="bad_setting",
                path=PREFIX + str(e["loc"][0]).upper(),
                expected=str(e["msg"]).removeprefix("Input should be "),
                got=repr(e["input"]),
            )
            for e in error.errors(include_url=False)
        ]
        raise InvalidInput("A setting is wrong: " + ". ".join(map(str, faults)) + ".", faults=faults) from None
