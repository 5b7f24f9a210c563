"""Lines of the logs: one an event, with time, level and ids, and without secrets."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator

import pytest

from foldstep.service.contract.logs import about, hide, say, set_up

_log = logging.getLogger("foldstep.tests.logs")


Written = Callable[[], str]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Written]:
    """What was written to standard error; the process's logging is put back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    root.handlers[:] = before
    root.setLevel(level)


def test_a_line_of_text_has_time_level_and_ids(written: Written) -> None:
    set_up()
    with about(request="r1"), about(search="s1"):
        say(_log, logging.WARNING, "lease expired", lease=7)
    line = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING tests\.logs: lease expired  request=r1 search=s1 lease=7\n"
    assert re.fullmatch(line, written())


def test_a_line_of_json_is_one_object_also_with_a_traceback(written: Written) -> None:
    set_up("json", name="w.1")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        with about(search="s1"):
            _log.exception("it fell")
    (line,) = written().splitlines()
    fields = json.loads(line)
    assert (fields["level"], fields["message"], fields["search"], fields["process"]) == (
        "error",
        "it fell",
        "s1",
        "w.1",
    )
    assert "ValueError: two\nlines" in fields["traceback"]


def test_nobody_forges_a_line(written: Written) -> None:
    set_up()
    say(_log, logging.INFO, "no name a\n2030-01-01 ERROR forged \x1b[31m", search="b\nforged")
    (line,) = written().splitlines()
    assert "\x1b" not in line


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_secrets_are_hidden_wherever_they_come_from(written: Written, log_format: str) -> None:
    set_up(log_format)  # type: ignore[arg-type]
    hide("very-secret")
    with about(search="very-secret"):
        _log.warning("Authorization: Bearer abc.def, postgresql://u:pa55word@host/db very-secret token=t0ken&x=1")
        try:
            raise OSError("very-secret")
        except OSError:
            _log.exception("x")
    said = written()
    for secret in ("very-secret", "abc.def", "pa55word", "t0ken"):
        assert secret not in said
    assert "@host/db" in said


def test_less_than_the_level_is_not_written(written: Written) -> None:
    set_up(level="error")
    say(_log, logging.WARNING, "unheard")
    assert written() == ""
