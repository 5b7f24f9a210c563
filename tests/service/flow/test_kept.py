"""Answers that take long are computed once for each state of the history, and in the background where that is long."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from foldstep.service.flow.kept import MOST, Answers


def counted(log: list[str], value: str) -> Callable[[], str]:
    def compute() -> str:
        log.append(value)
        return value

    return compute


def test_the_same_version_is_computed_once() -> None:
    answers, log = Answers(), []
    assert [answers.get("q", 1, counted(log, "a")) for _ in range(3)] == ["a"] * 3
    assert answers.get("q", 2, counted(log, "b")) == "b"
    assert answers.get("another", 2, counted(log, "c")) == "c"
    assert log == ["a", "b", "c"]


def test_an_older_answer_is_given_while_the_next_one_is_computed() -> None:
    answers, may_end, has_ended = Answers(), threading.Event(), threading.Event()
    assert answers.get("q", 1, lambda: "old", may_be_older=True) == "old", "the first one is waited for"

    def slowly() -> str:
        assert may_end.wait(10)
        has_ended.set()
        return "new"

    assert answers.get("q", 2, slowly, may_be_older=True) == "old"
    assert answers.get("q", 2, pytest.fail, may_be_older=True) == "old", "it is computed by now"
    may_end.set()
    assert has_ended.wait(10)
    assert answers.get("q", 2, pytest.fail) == "new", "who wants no older one waits"


def test_those_who_ask_meanwhile_get_the_same_answer_and_the_same_error() -> None:
    answers, begun, may_end = Answers(), threading.Event(), threading.Event()

    def fail() -> str:
        begun.set()
        assert may_end.wait(10)
        raise ValueError("no")

    caught: list[str] = []

    def ask(compute: Callable[[], str]) -> None:
        try:
            answers.get("q", 1, compute)
        except ValueError as error:
            caught.append(str(error))

    threads = [threading.Thread(target=ask, args=(fail,))]
    threads[0].start()
    assert begun.wait(10)
    threads.append(threading.Thread(target=ask, args=(fail,)))
    threads[1].start()
    may_end.set()
    for thread in threads:
        thread.join(10)
    assert caught == ["no", "no"]
    assert answers.get("q", 1, lambda: "yes") == "yes", "an error is not kept"


def test_few_answers_are_kept() -> None:
    answers, log = Answers(), []
    for i in range(MOST + 1):
        answers.get(i, 1, counted(log, str(i)))
    answers.get(0, 1, counted(log, "again"))
    assert log[-1] == "again"
