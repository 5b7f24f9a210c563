"""The kinds of ensembles whose members a search trains that follows: what it trains, and what predicts then."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import root_mean_squared_error

import foldstep
from foldstep.models.checkpoint import Arrays, read_arrays
from foldstep.service.contract.leaderboard import SearchView
from foldstep.service.contract.out_of_fold import TEST, FoldPredictions
from tests.foldstep.conftest import Desk, busy_desk, desk
from tests.service.flow.test_follow import ended, submitted
from tests.service.flow.test_refit import HELD_OUT, said_by, weights_of

__all__ = ["busy_desk", "desk"]


def plain(desk: Desk, configurations: list[dict[str, Any]], **changes: Any) -> list[list[Arrays]]:
    """Train configurations as a search does that nobody makes follow another one; the networks of each, by number."""
    master, n = desk.master, len(configurations)
    warm = {"warm_start": {"configurations": configurations}, "budget": {"trials": n}, "checkpoints": {"keep": "all"}}
    parameters = {name: [c[name] for c in configurations] for name in configurations[0]}
    single = {name: values[0] if all(v == values[0] for v in values) else values for name, values in parameters.items()}
    search = master.wait(submitted(desk, name="plain", data=HELD_OUT, parameters=single, **{**warm, **changes}).id)
    return [weights_of(search, t.checkpoints) for t in master.all_trials(search.id, order_by="number")]


def same(one: list[Arrays], other: list[Arrays]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a) for a, b in pairs)


def of_kind(desk: Desk, kind: str, **final: Any) -> tuple[SearchView, SearchView]:
    first = submitted(desk, name=kind, data=HELD_OUT, final={"ensemble": kind, **final})
    assert first.followers == {"ensemble": None}
    (follower,) = ended(desk, first)
    assert (follower.state, follower.purpose, follower.follows) == ("completed", "ensemble", first.id)
    return desk.master.search(first.id), follower


def mean_on_test(parts: list[tuple[SearchView, list[str]]]) -> tuple[Any, Any]:
    """Read the truth of the test part, and the mean of what trials say of it."""
    files = [[Path(s.checkpoint_dir) / name for name in names] for s, names in parts]
    found = [[FoldPredictions.of(read_arrays(str(f), TEST), TEST) for f in of_trial] for of_trial in files]
    said = np.mean([np.mean([one.predictions[:, 0] for one in t if one], axis=0) for t in found], axis=0)
    assert found[0][0] is not None
    return found[0][0].truth, said


def judged(desk: Desk, first: SearchView, parts: list[tuple[SearchView, list[str]]], folder: Path) -> None:
    """The ensemble is the plain mean of the parts: out of fold, on the test part, and in a model file."""
    master, best = desk.master, first.best
    assert best is not None
    found = master.ensemble(first.id)
    assert found is not None
    assert (found.kind, found.winner, found.why_alone) == (first.name, best.trial, None)
    assert [m.checkpoints for m in found.members] == [names for _, names in parts]
    assert found.n_networks == 3 * len(parts)
    folds = []
    for fold in range(3):
        each = [FoldPredictions.of(read_arrays(str(Path(s.checkpoint_dir) / n[fold]), "oof.")) for s, n in parts]
        said = np.mean([one.predictions[:, 0] for one in each if one is not None], axis=0)
        assert each[0] is not None
        folds.append(root_mean_squared_error(each[0].truth, said))
    assert found.score == pytest.approx(np.mean(folds), rel=1e-5)
    assert found.cost is not None
    assert found.winner_cost is not None
    assert found.cost.networks == 3 * len(parts)
    assert found.cost.parameters == len(parts) * found.winner_cost.parameters == 3 * len(parts) * best.n_parameters
    assert found.cost.milliseconds > 0
    assert f"weights together, {len(parts)} times those of the best trial" in (found.cost_sentence or "")
    model = master.finalize(first.id)
    truth, said = mean_on_test(parts)
    assert model.test is not None
    assert model.test.score == pytest.approx(root_mean_squared_error(truth, said), rel=1e-5)
    alone = root_mean_squared_error(*mean_on_test([(first, best.checkpoints)]))
    assert model.test.winner_score == pytest.approx(alone, rel=1e-5)
    assert "; the best trial alone " in model.sentences[1]
    assert master.finalize(first.id) == model
    in_file(desk, first, parts, folder)


def in_file(desk: Desk, first: SearchView, parts: list[tuple[SearchView, list[str]]], folder: Path) -> None:
    target = folder / "model.foldstep"
    done = desk("export", first.id, "--format", "foldstep", "--out", str(target), "--dir", str(desk.folder / "data"))
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(target) as file:
        assert sum(name.endswith(".safetensors") for name in file.namelist()) == 3 * len(parts)
    model = foldstep.load(target)
    assert [(one["search"], one["networks"]) for one in model.card["members"]] == [(s.id, 3) for s, _ in parts]
    assert "ms for 1,000 rows on one core" in " ".join(model.card["answers"])
    assert model.card["test"] is not None
    expected = np.mean([said_by(s, names, folder) for s, names in parts], axis=0)
    predicted = desk.master.predict(first.id, folder / "rows.csv")
    np.testing.assert_allclose(np.array(predicted.columns["much"], float), expected, rtol=1e-6)
    assert predicted.chosen.endswith(f", of {first.id}: the mean of {3 * len(parts)} networks.")


def test_seeds_are_the_best_trial_and_others_of_its_configuration(busy_desk: Desk, tmp_path: Path) -> None:
    master = busy_desk.master
    first, follower = of_kind(busy_desk, "seeds", members=3)
    best = first.best
    assert best is not None
    trials = master.all_trials(follower.id, order_by="number")
    assert [t.params for t in trials] == [{**best.params, "seed": seed} for seed in (3, 4)]
    expected = plain(busy_desk, [t.params for t in trials], method="grid", warm_start=None)
    assert all(same(weights_of(follower, t.checkpoints), e) for t, e in zip(trials, expected, strict=True))
    parts = [(first, best.checkpoints), *((follower, t.checkpoints) for t in trials)]
    judged(busy_desk, first, parts, tmp_path)
    # the first search is the same to the bit as without
    alone = master.wait(submitted(busy_desk, name="alone", data=HELD_OUT, final={"ensemble": "none"}).id)
    for own, other in zip(master.all_trials(first.id), master.all_trials(alone.id), strict=True):
        assert (own.trial, own.params, own.folds) == (other.trial, other.params, other.folds)
        assert same(weights_of(first, own.checkpoints), weights_of(alone, other.checkpoints))


def test_checkpoints_are_those_of_one_run_in_cycles(busy_desk: Desk, tmp_path: Path) -> None:
    master = busy_desk.master
    first, follower = of_kind(busy_desk, "checkpoints", members=3)
    best = first.best
    assert best is not None
    trials = master.all_trials(follower.id, order_by="number")
    cycles = {"schedule": "cosine_restarts", "cycle_epochs": 2, "cycle_growth": 1, "warmup_epochs": 0}
    given = {**best.params, **cycles, "patience": 0, "swa_start": 0.0}
    assert [t.params for t in trials] == [{**given, "epochs": epochs, "seed": 2} for epochs in (2, 4, 6)]
    assert [t.continues for t in trials] == [None, 0, 1]
    # the first is a plain run of one cycle, and each is the best of its own cycle, from the state before
    (oracle,) = plain(busy_desk, [trials[0].params], method="grid", warm_start=None)
    assert same(weights_of(follower, trials[0].checkpoints), oracle)
    for i, trial in enumerate(trials):
        epochs = [int(name.split("epoch-")[1][:4]) for name in trial.checkpoints]
        assert all(2 * i < epoch <= 2 * i + 2 for epoch in epochs)
    judged(busy_desk, first, [(follower, t.checkpoints) for t in trials], tmp_path)
    again = busy_desk("rerun", follower.id, "2", "--dir", str(busy_desk.folder / "data"))
    assert again.returncode == 0, again.stdout + again.stderr  # without snapshots, in one go


def test_averages_are_one_network_of_each_fold(busy_desk: Desk, tmp_path: Path) -> None:
    master = busy_desk.master
    first, follower = of_kind(busy_desk, "averages")
    (trial,) = master.all_trials(follower.id)
    best = first.best
    assert best is not None
    assert trial.params == {**best.params, "swa_start": 0.75, "patience": 0, "seed": 2}
    (oracle,) = plain(busy_desk, [trial.params], method="grid", warm_start=None)
    assert same(weights_of(follower, trial.checkpoints), oracle)
    judged(busy_desk, first, [(follower, trial.checkpoints)], tmp_path)
