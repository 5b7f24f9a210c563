"""Training to a rung, waiting there and going on gives the bits of training straight through."""

from __future__ import annotations

from itertools import pairwise

import pytest

from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.oversight import Limits
from foldstep.worker.train.stopping import End
from tests.worker.train.test_loop import ENGINE, MIX, WINE, assert_same, members, through_a_file, train
from tests.worker.train.watch import Watch

CONFIGURATIONS = [*MIX, {"hidden": [24], "lr": 0.5, "optimizer": "sgd", "epochs": 30, "patience": 2}]


def to_rung(these: list[Member], until: int | None) -> tuple[list[Member], Watch]:
    """Train to an epoch; the members as another worker would get them, and what was told."""
    for member in these:
        member.until = until
    watch = train(these)
    return [through_a_file(m) for m in these if m.progress.end is None], watch


@pytest.mark.parametrize("rungs", [[1], [3, 9], [1, 2, 8]])
def test_promoted_members_have_the_bits_of_members_that_never_waited(rungs: list[int]) -> None:
    straight, these, told = train(members(*CONFIGURATIONS)), members(*CONFIGURATIONS), Watch()
    for before, until in pairwise([0, *rungs]):
        these, watch = to_rung(these, until)
        waiting = [m for m, _ in watch.done.values() if m.progress.end is None]
        assert waiting
        assert {m.progress.epoch for m in waiting} == {until}
        assert watch.epochs == until - before, "nobody trains past the rung"
        told.done |= {key: done for key, done in watch.done.items() if done[0].progress.end is not None}
    _, last = to_rung(these, None)
    told.done |= last.done
    assert_same(straight, told)


def test_promoted_members_train_with_those_that_begin() -> None:
    straight = train(members(*MIX))
    early, late = members(*MIX[:2]), members(*MIX)[6:]
    early, _ = to_rung(early, 4)
    assert_same(straight, train(early + late))


def test_folds_that_come_later_have_the_bits_of_folds_that_came_first() -> None:
    straight = train(members(*MIX))
    first = train(members(*MIX, folds=[0]))
    first.done |= train(members(*MIX, folds=[1, 2])).done
    assert_same(straight, first)


def test_a_member_whose_time_is_over_ends_with_its_epoch_and_keeps_its_best() -> None:
    watch = Watch()
    Training(WINE, "log_loss", ENGINE).train(members(*MIX), watch, Limits(trial_time_s=1e-9))
    assert {(m.progress.end, m.progress.epoch) for m, _ in watch.done.values()} == {(End.TIME, 1)}
    assert all(weights is not None for _, weights in watch.done.values())


def test_members_end_with_the_last_epoch_that_fits_the_time_of_the_search() -> None:
    watch = Watch()
    training = Training(WINE, "log_loss", ENGINE)
    limits = Limits(seconds_left=lambda: 1e9 if watch.epochs < 3 else 1e-9)  # positive, but less than an epoch takes
    straight = train(members(*MIX))
    training.train(members(*MIX), watch, limits)
    assert {(m.progress.end, m.progress.epoch) for m, _ in watch.done.values()} == {(End.TIME, 4)}
    training.train(members(*MIX), again := Watch())
    assert_same(straight, again)  # what limited one lease does not limit the next one
    for key, (member, weights) in watch.done.items():
        whole = straight.done[key][0].progress
        assert member.progress.scores == whole.scores[:4]
        assert weights is not None


def test_packs_that_have_not_begun_when_the_time_is_over_stay_as_they_are() -> None:
    watch = Watch()
    these = members(*MIX)
    Training(WINE, "log_loss", ENGINE).train(these, watch, Limits(seconds_left=lambda: 0.0))
    assert not watch.done
    assert all(m.progress.epoch == 0 and m.snapshot is None for m in these)


def test_time_in_training_goes_on_where_it_was() -> None:
    these, _ = to_rung(members(*MIX), 2)
    spent = [m.progress.seconds for m in these]
    assert all(seconds > 0 for seconds in spent)
    watch = Watch()
    Training(WINE, "log_loss", ENGINE).train(these, watch, Limits(trial_time_s=min(spent)))
    assert {m.progress.epoch for m, _ in watch.done.values()} == {3}, "one more epoch shows that the time is over"
