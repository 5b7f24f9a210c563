"""Logs of the master and of workers: one line an event, as text or as JSON, with the ids of what it is about.

Ids (`request`, `search`, `lease`, `worker`, `trials` and so on) are kept in a context variable, which threads of
requests inherit: whatever is logged within `about(search=…)` carries them. Secrets are hidden when a line is written,
wherever they come from: those that `hide` was told, passwords in addresses, bearer tokens.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, get_args

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_ids: ContextVar[Mapping[str, Any]] = ContextVar("ids", default={})  # noqa: B039  it is replaced, never changed
_secrets: set[str] = set()
_HIDDEN = "***"
_SHORTEST_SECRET = 6
_PATTERNS = (
    (re.compile(r"(?<=://)[^/\s@]+@"), f"{_HIDDEN}@"),
    (re.compile(r"\bfoldstep_[A-Za-z0-9_-]{20,}"), _HIDDEN),
    (re.compile(r"(?i)\b(bearer|password=|token=|login=)(\s*)[^\s&,;\"']+"), rf"\1\2{_HIDDEN}"),
)


@contextmanager
def about(**ids: Any) -> Iterator[None]:
    """Give every line that is logged within the block these ids, besides those of the blocks around it."""
    before = _ids.set({**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(before)


def ids() -> Mapping[str, Any]:
    """Read the ids of the blocks around."""
    return _ids.get()


def hide(secret: str) -> None:
    """Keep a secret out of every line; one of fewer than six characters would hide too much else."""
    if len(secret) >= _SHORTEST_SECRET:
        _secrets.add(secret)


def without_secrets(text: str) -> str:
    """Replace every known secret in a text, and what looks like one."""
    for secret in _secrets:
        text = text.replace(secret, _HIDDEN)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def say(logger: logging.Logger, level: int, message: str, **more: Any) -> None:
    """Log one event with ids of its own besides those of the blocks around."""
    if logger.isEnabledFor(level):
        logger.log(level, message, extra={"ids": more})


def set_up(log_format: LogFormat = "text", level: LogLevel = "info", name: str | None = None) -> None:
    """Write the logs of this process to standard error.

    Args:
        log_format: `text`, or `json` for one object a line.
        level: the least that is written.
        name: of the process, as an id of every line.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(name) if log_format == "json" else _Text(name))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.raiseExceptions = False  # a full disk under the log ends no request
    for noisy in ("uvicorn", "httpx", "httpcore", "alembic", "asyncio", "multipart", "python_multipart"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def set_up_from(environment: Mapping[str, str], name: str, level: LogLevel = "warning") -> None:
    """Do as `set_up` with FOLDSTEP_LOG_FORMAT and FOLDSTEP_LOG_LEVEL; a value that there is not is as none."""
    wanted = {key: environment.get(f"FOLDSTEP_LOG_{key.upper()}", "").lower() for key in ("format", "level")}
    chosen = next((word for word in get_args(LogLevel) if word == wanted["level"]), level)
    set_up("json" if wanted["format"] == "json" else "text", chosen, name)


class _Formatter(logging.Formatter):
    def __init__(self, name: str | None) -> None:
        super().__init__()
        self.ids = {} if name is None else {"process": name}

    def ids_of(self, record: logging.LogRecord) -> dict[str, Any]:
        return {**self.ids, **_ids.get(), **getattr(record, "ids", {})}

    def traceback_of(self, record: logging.LogRecord) -> str | None:
        return None if record.exc_info is None else self.formatException(record.exc_info)


class _Text(_Formatter):
    """`TIME LEVEL LOGGER message  id=value …`; a line end within a message is escaped, so that nobody forges a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one line, and a traceback below it."""
        said = _on_one_line(record.getMessage())
        ids = "".join(f" {key}={_on_one_line(str(value))}" for key, value in self.ids_of(record).items())
        head = f"{_time(record)} {record.levelname} {record.name.removeprefix('foldstep.')}"
        line = f"{head}: {said} {ids}".rstrip()
        traceback = self.traceback_of(record)
        return without_secrets(line if traceback is None else f"{line}\n{traceback}")


class _Json(_Formatter):
    """One JSON object: `time`, `level`, `logger`, `message`, the ids, and `traceback` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as one line of JSON."""
        fields = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        fields |= {"message": record.getMessage(), **self.ids_of(record)}
        traceback = self.traceback_of(record)
        if traceback is not None:
            fields["traceback"] = traceback
        return without_secrets(json.dumps(fields, default=str))


def _time(record: logging.LogRecord) -> str:
    """Write the time of a record in UTC, to the millisecond."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def _on_one_line(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
