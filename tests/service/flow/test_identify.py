"""A word names a search: its id, its name where one search alone has it, or the beginning of its id."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from foldstep.service.contract.errors import Ambiguous, NotFound, SpecInvalid
from foldstep.service.contract.spec import Spec
from foldstep.service.db import searches
from foldstep.service.flow.context import Context
from foldstep.service.flow.identify import identify
from foldstep.service.flow.submit import _with_whole_id
from tests.service.scenes import new_search

START = datetime(2030, 1, 1, 12, tzinfo=UTC)


def stored(context: Context, search_id: str, name: str, hours: int = 0) -> str:
    """Store a copy of a search under another id and name, `hours` after the start."""
    template = new_search(context, name="template")
    with context.database.write() as connection:
        row = searches.get(connection, template)
        created = START + timedelta(hours=hours)
        searches.add(connection, dataclasses.replace(row, id=search_id, name=name, created_at=created), {})
        searches.remove(connection, template)
    return search_id


def test_an_id_a_name_and_the_beginning_of_an_id_name_a_search(context: Context) -> None:
    stored(context, "houses-3fa2c1", "houses")
    stored(context, "houses-big-11bb22", "houses-big")
    words = ["houses-3fa2c1", "houses", "houses-3", "houses-big", "houses-b", "houses-big-"]
    assert [identify(context, word) for word in words] == [
        "houses-3fa2c1", "houses-3fa2c1", "houses-3fa2c1", *["houses-big-11bb22"] * 3,
    ]  # fmt: skip


def test_an_id_counts_before_a_name_and_a_name_before_a_beginning(context: Context) -> None:
    stored(context, "a-111111", "a")
    stored(context, "b-222222", "a-111111")
    assert identify(context, "a-111111") == "a-111111"
    assert identify(context, "a") == "a-111111"


def test_a_word_for_several_searches_is_refused_with_their_dates_the_newest_first(context: Context) -> None:
    stored(context, "a-111111", "a")
    stored(context, "a-122222", "a", hours=5)
    with pytest.raises(Ambiguous) as refused:
        identify(context, "a")
    assert refused.value.message == (
        "a is the name of 2 searches: a-122222 of 2030-01-01 17:00 UTC, a-111111 of 2030-01-01 12:00 UTC. "
        "Give more of the id."
    )
    with pytest.raises(Ambiguous, match="a-1 is the beginning of the id of 2 searches: a-122222"):
        identify(context, "a-1")
    assert identify(context, "a-12") == "a-122222"


def test_many_candidates_are_counted(context: Context) -> None:
    for number in range(13):
        stored(context, f"a-{number:06}", "a", hours=number)
    with pytest.raises(Ambiguous, match=r"of 13 searches: a-000012 .* and 3 older ones\. Give more"):
        identify(context, "a")


@pytest.mark.parametrize("word", ["House", "ouses", "houses-3fa2c1x", "%", "_ouses", "", "HOUSES"])
def test_other_words_name_none(context: Context, word: str) -> None:
    stored(context, "houses-3fa2c1", "houses")
    with pytest.raises(NotFound, match="There is no search"):
        identify(context, word)


def test_a_word_that_is_nearly_a_name_gets_a_hint(context: Context) -> None:
    stored(context, "houses-3fa2c1", "houses")
    with pytest.raises(NotFound, match=r"Did you mean houses\?"):
        identify(context, "hauses")


def test_warm_start_takes_a_name_and_keeps_the_id(context: Context) -> None:
    stored(context, "a-111111", "a")
    stored(context, "b-111111", "b")
    stored(context, "b-222222", "b")
    with context.database.read() as connection:
        spec = searches.get(connection, "a-111111").spec

    def warmed(word: str) -> Spec:
        return _with_whole_id(context, spec.model_copy(update={"warm_start": word}))

    assert warmed("a").warm_start == "a-111111"
    for word, code in (("b", "ambiguous"), ("c", "unknown_search")):
        with pytest.raises(SpecInvalid) as refused:
            warmed(word)
        assert [(f.code, f.path) for f in refused.value.faults] == [(code, "warm_start")]
    assert "b-222222" in str(refused.value.faults[0]) or "no search c" in str(refused.value.faults[0])
