"""A trial that continues another one has the bits of one training whose schedule changes on the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from foldstep.models.catalog.metrics import Direction
from foldstep.models.checkpoint import CheckpointDamaged
from foldstep.service.contract.lease import LeasedTrial
from foldstep.service.contract.report import FoldResult, TrialResult
from foldstep.worker.assignment import Finished, TrialWork
from foldstep.worker.checkpoints import SavedTrial, decode_snapshot, encode_snapshot
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.stopping import End
from tests.worker.train.data import source
from tests.worker.train.watch import Watch

WINE = source("wine")
N_FOLDS = 3
FINGERPRINT = "f" * 64
BEFORE, EPOCHS = 4, 10
Params = dict[str, Any]
# each schedule but the last depends on the epochs in all; the restarted one diverges after some good epochs
MIX: list[Params] = [
    {"hidden": [16], "lr": 0.02, "schedule": "cosine"},
    {"hidden": [24, 8], "lr": 0.03, "schedule": "linear", "dropout": 0.3, "optimizer": "nesterov", "ema_decay": 0.5},
    {"hidden": [], "lr": 0.1, "schedule": "one_cycle", "optimizer": "sgd"},
    {"hidden": [40, 40], "lr": 0.01, "schedule": "trapezoidal", "warmup_epochs": 2, "optimizer": "adamw"},
    {"hidden": [16, 8], "lr": 30.0, "schedule": "cyclical", "cycle_epochs": 8, "optimizer": "momentum",
     "activation": "elu", "weight_decay": 0.5, "on_divergence": "restart"},
]  # fmt: skip
MIX = [{"batch_size": 16, **params} for params in MIX]


def training() -> Training:
    return Training(WINE, "log_loss", Engine(torch.device("cpu"), 1 << 30))


def leased(number: int, params: Params, *epochs: int, **given: bool) -> LeasedTrial:
    """A trial whose last leg has the last number of epochs."""
    *legs, last = epochs
    return LeasedTrial(number=number, params={**params, "epochs": last}, legs=legs, **given)


def train(works: Sequence[TrialWork], watch: Watch | None = None) -> dict[int, Finished]:
    """Train some trials together; what came out of those that have ended, by number."""
    watch = watch or Watch()
    training().train([member for work in works for member in work.members], watch)
    for work in works:
        work.weights |= {f: w for (trial, f), (_, w) in watch.done.items() if trial == work.leased.number}
    return {work.leased.number: work.finished(FINGERPRINT) for work in works if work.is_done}


def begun(trials: Sequence[LeasedTrial]) -> list[TrialWork]:
    return [TrialWork(trial, N_FOLDS, 0, Direction.MINIMIZE, saved=None) for trial in trials]


def through_a_file(saved: SavedTrial | None, trial: LeasedTrial) -> TrialWork:
    """The trial as a worker begins it that gets the snapshot of another one."""
    assert saved is not None
    read = decode_snapshot(encode_snapshot(saved), trial.params, FINGERPRINT, trial.legs)
    return TrialWork(trial, N_FOLDS, 0, Direction.MINIMIZE, saved=read)


def continued(*epochs: int, mix: Sequence[Params] = MIX) -> dict[int, Finished]:
    """Every configuration trained in as many stages as there are numbers, each trial continuing the last one."""
    done: dict[int, Finished] = {}
    for n in range(1, len(epochs) + 1):
        trials = [leased(i, p, *epochs[:n], keep_snapshot=n < len(epochs)) for i, p in enumerate(mix)]
        done = train([through_a_file(done[t.number].snapshot, t) if done else begun([t])[0] for t in trials])
    return done


def by_hand(params: Params, before: int, epochs: int) -> list[tuple[list[float], list[float]]]:
    """One training of each fold alone, whose schedule is another one after some epochs: its losses and scores."""
    (work,) = begun([leased(0, params, epochs)])
    curves = []
    for member in work.members:
        trainer, losses, scores = training().trainer([member]), [], []
        for epoch in range(1, epochs + 1):
            member.hp = replace(member.hp, epochs=before if epoch <= before else epochs)
            losses.append(trainer.train_epoch(epoch).item())
            scores.append(trainer.evaluate().item())
        curves.append((losses, scores))
    return curves


def plain(done: dict[int, Finished]) -> dict[int, TrialResult]:
    """Results, diagnostics and all, without the time that they took."""
    return {number: finished.result.model_copy(update={"duration_s": 0.0}) for number, finished in done.items()}


def bits(done: dict[int, Finished]) -> dict[int, list[bytes]]:
    """The best weights of every trial."""
    weights = {n: [layer for w in finished.weights for layer in w or ()] for n, finished in done.items()}
    return {n: [a.tobytes() for layer in layers for a in layer.values()] for n, layers in weights.items()}


def losses(fold: FoldResult) -> list[float]:
    """Its scores, which are known."""
    return [score for score in fold.curve.score if score is not None]


def test_it_is_one_training_whose_schedule_changes() -> None:
    done = continued(BEFORE, EPOCHS, mix=MIX[:4])
    for number, params in enumerate(MIX[:4]):
        curves = [(f.curve.train_loss, f.curve.score) for f in done[number].result.folds]
        assert curves == by_hand(params, BEFORE, EPOCHS)
        folds = done[number].result.folds
        means = [math.fsum(scores) / len(folds) for scores in zip(*(losses(fold) for fold in folds), strict=True)]
        assert [fold.score for fold in folds] == [losses(fold)[means.index(min(means))] for fold in folds]


def test_of_an_ensembles_trial_the_best_network_is_one_of_its_own_leg() -> None:
    """Where the first leg had the better ones: whether it resumes from a snapshot or is trained in one go."""
    params = {"hidden": [16], "batch_size": 16, "lr": 1.0, "optimizer": "adam", "activation": "tanh"}
    first = train(begun([leased(0, params, BEFORE, keep_snapshot=True, own_epochs=True)]))[0]
    trials = {own: leased(0, params, BEFORE, EPOCHS, own_epochs=own) for own in (True, False)}
    done = {own: train([through_a_file(first.snapshot, trial)]) for own, trial in trials.items()}
    assert all(fold.best_epoch <= BEFORE for fold in done[False][0].result.folds), "else the test shows nothing"
    for fold in done[True][0].result.folds:
        scores = losses(fold)[BEFORE:]
        assert fold.best_epoch == BEFORE + 1 + scores.index(min(scores))
        assert fold.score in scores
    in_one = train(begun([trials[True]]))
    assert bits(in_one) == bits(done[True]) != bits(done[False])
    assert plain(in_one) == plain(done[True])


def test_nothing_that_was_trained_is_trained_again() -> None:
    before = train(begun([leased(i, params, BEFORE, keep_snapshot=True) for i, params in enumerate(MIX[:4])]))
    watch = Watch()
    train([through_a_file(before[i].snapshot, leased(i, p, BEFORE, EPOCHS)) for i, p in enumerate(MIX[:4])], watch)
    assert watch.epochs == EPOCHS - BEFORE
    assert {m.progress.epoch for m, _ in watch.done.values()} == {EPOCHS}


def test_the_schedule_is_that_of_all_epochs_after_the_first_leg_alone() -> None:
    done, short, whole = continued(BEFORE, EPOCHS), continued(BEFORE), continued(EPOCHS)
    for number in range(4):
        for fold in range(N_FOLDS):
            losses, first, straight = (
                stage[number].result.folds[fold].curve.train_loss for stage in (done, short, whole)
            )
            assert losses[:BEFORE] == first
            assert losses[:BEFORE] != straight[:BEFORE]
            assert losses[BEFORE:] != straight[BEFORE:]


@pytest.mark.parametrize("epochs", [(1, EPOCHS), (BEFORE, EPOCHS), (1, BEFORE, EPOCHS), (2, 3, 4, 9)])
def test_without_the_state_of_the_trial_before_the_same_comes_out(epochs: tuple[int, ...]) -> None:
    anew = train(begun([leased(i, params, *epochs) for i, params in enumerate(MIX)]))
    done = continued(*epochs)
    assert plain(anew) == plain(done)
    assert bits(anew) == bits(done)


def test_what_was_seen_on_the_way_is_the_same_too() -> None:
    """After 24 epochs of four steps the last one is paid for; of 30 planned ones it would not be looked at."""
    done, anew = continued(24, 30, mix=MIX[:1])[0], train(begun([leased(0, MIX[0], 24, 30)]))[0]
    seen, again = ([f.diagnostics for f in finished.result.folds] for finished in (done, anew))
    assert [[probe[0] for probe in d.probes] for d in seen if d] == [[24, 30]] * N_FOLDS
    assert seen == again


def test_states_of_any_earlier_leg_will_do() -> None:
    done = continued(1, BEFORE, EPOCHS)
    first = train(begun([leased(i, params, 1, keep_snapshot=True) for i, params in enumerate(MIX)]))
    skipped = train([through_a_file(first[i].snapshot, leased(i, p, 1, BEFORE, EPOCHS)) for i, p in enumerate(MIX)])
    assert plain(skipped) == plain(done)


def test_no_neighbour_and_no_order_changes_a_bit() -> None:
    together = continued(BEFORE, EPOCHS)
    before = train(begun([leased(i, params, BEFORE, keep_snapshot=True) for i, params in enumerate(MIX)]))
    mixed = [through_a_file(before[i].snapshot, leased(i, MIX[i], BEFORE, EPOCHS)) for i in (3, 1)]
    rest = begun([leased(i, MIX[i], BEFORE, EPOCHS) for i in (4, 0, 2)])
    fresh = begun([leased(9, MIX[0], EPOCHS)])
    done = train([*mixed, *fresh, *rest])
    del done[9]
    assert plain(done) == plain(together)
    assert bits(done) == bits(together)


@pytest.mark.parametrize("leave_after", range(1, 14, 2))
def test_leaving_on_the_way_changes_nothing(leave_after: int) -> None:
    trials = [leased(i, params, BEFORE, EPOCHS) for i, params in enumerate(MIX)]
    straight = train(begun(trials))
    works = begun(trials)
    done = train(works, Watch(leave_after=leave_after))
    done |= train([through_a_file(w.saved(FINGERPRINT), w.leased) for w in works if not w.is_done])
    assert plain(done) == plain(straight)


def test_folds_that_had_ended_the_stage_when_its_worker_died_are_handed_up_as_the_others() -> None:
    trials = [leased(i, params, BEFORE, keep_snapshot=True) for i, params in enumerate(MIX)]
    works, watch = begun(trials), Watch()
    training().train([work.members[0] for work in works], watch)
    for work in works:
        work.weights[0] = watch.done[work.leased.number, 0][1]
    before = train([through_a_file(work.saved(FINGERPRINT), work.leased) for work in works])
    done = train([through_a_file(before[i].snapshot, leased(i, p, BEFORE, EPOCHS)) for i, p in enumerate(MIX)])
    assert plain(done) == plain(continued(BEFORE, EPOCHS))


def test_a_fold_that_patience_had_ended_stays_ended() -> None:
    hasty = {"hidden": [32], "lr": 0.5, "optimizer": "sgd", "batch_size": 16, "patience": 2, "schedule": "linear"}
    before, done = continued(8, mix=[hasty])[0], continued(8, 20, mix=[hasty])[0]
    early = [f.fold for f in before.result.folds if f.epochs < 8]
    assert early, "a rate this high must overshoot"
    assert len(early) < N_FOLDS
    for fold in early:
        assert done.result.folds[fold] == before.result.folds[fold]
    assert plain({0: done}) == plain(train(begun([leased(0, hasty, 8, 20)])))


def test_patience_that_is_over_at_the_last_epoch_of_the_stage_is_over() -> None:
    hasty = {"hidden": [32], "lr": 0.5, "optimizer": "sgd", "batch_size": 16, "patience": 2}
    straight = train(begun([leased(0, hasty, 20)]))[0]
    epochs = straight.result.folds[0].epochs
    assert straight.members[0].progress.end is End.PATIENCE
    assert continued(epochs, mix=[hasty])[0].members[0].progress.end is End.EPOCHS
    assert plain({0: continued(epochs, 20, mix=[hasty])[0]}) == plain({0: straight})


def test_a_member_that_goes_back_into_an_earlier_leg_trains_it_under_its_own_schedule() -> None:
    wild = {**MIX[4], "lr": 3.0, "schedule": "linear"}
    before = train(begun([leased(0, wild, 3, keep_snapshot=True)]))[0]
    work, watch, epochs = through_a_file(before.snapshot, leased(0, wild, 3, 8)), Watch(), []
    watch.on_epoch = lambda members: epochs.extend(m.progress.epoch for m in members if m.fold == 1)
    done = train([work], watch)
    assert epochs == [4, 5, 3, 4, 5, 6, 7, 8], "it must diverge after the stage, and have its best epoch before its end"
    assert plain(done) == plain(train(begun([leased(0, wild, 3, 8)])))


def test_a_fold_without_its_state_begins_anew() -> None:
    before = continued(BEFORE)
    done = {}
    for number, params in enumerate(MIX):
        kept = before[number]
        folds = {m.fold: (m.progress, None, w) for m, w in zip(kept.members, kept.weights, strict=True)}
        trial = leased(number, params, BEFORE, EPOCHS)
        done |= train([through_a_file(SavedTrial({**params, "epochs": BEFORE}, FINGERPRINT, folds), trial)])
    assert plain(done) == plain(continued(BEFORE, EPOCHS))


@pytest.mark.parametrize(
    "trial",
    [
        leased(0, MIX[1], BEFORE, EPOCHS),
        leased(0, MIX[0], BEFORE - 1, EPOCHS),
        leased(0, MIX[0], 1, BEFORE, EPOCHS),
        leased(0, MIX[0], EPOCHS),
    ],
    ids=["another configuration", "another leg", "a leg before it", "no leg"],
)
def test_the_state_of_another_training_is_refused(trial: LeasedTrial) -> None:
    (before,) = train(begun([leased(0, MIX[0], BEFORE, keep_snapshot=True)])).values()
    with pytest.raises(CheckpointDamaged, match="another trial"):
        through_a_file(before.snapshot, trial)
