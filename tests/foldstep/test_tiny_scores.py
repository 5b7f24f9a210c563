"""A target of tiny numbers: scores show their digits, names of checkpoints rank, also under their names of before."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from foldstep.service.contract.checkpoint_name import CheckpointName
from foldstep.service.contract.numbers import score
from tests.acceptance.processes import foldstep
from tests.foldstep.conftest import Desk


@pytest.mark.parametrize("metric", ["rmse", "r2"])
def test_tiny_target(busy_desk: Desk, tmp_path: Path, metric: str) -> None:
    rows = [((i * 37 % 101) / 101 - 0.5, i) for i in range(60)]
    (busy_desk.folder / "tiny.csv").write_text("x,y\n" + "".join(f"{x:.4f},{x * 1e-9:.4e}\n" for x, _ in rows))
    spec = {
        "name": f"tiny-{metric}", "data": {"dataset": "tiny.csv", "target": "y"}, "metric": metric, "cv": {"folds": 2},
        "budget": {"trials": 4}, "method": "random", "checkpoints": {"keep": "all"},
        "parameters": {"lr": {"low": 1e-5, "high": 0.03, "log": True}, "epochs": 3, "batch_size": 8},
    }  # fmt: skip
    search = busy_desk.master.wait(busy_desk.master.submit(spec).id)
    trials = busy_desk.master.all_trials(search.id)
    shown = busy_desk("leaderboard", search.id).stdout
    assert all(score(t.score) in shown for t in trials)
    assert metric == "r2" or all("e-" in score(t.score) for t in trials)
    folder = Path(search.checkpoint_dir)
    parsed = [CheckpointName.parse(name) for name in sorted(p.name for p in folder.iterdir())]
    folds = {t.trial: t.folds for t in trials}
    found = [folds[p.trial][p.fold] for p in parsed if p]
    assert len(found) == 8
    assert found == sorted(found, key=lambda s: s or 0.0)
    old = tmp_path / "old"
    old.mkdir()
    for p, path in zip(parsed, sorted(folder.iterdir()), strict=True):
        assert p is not None
        name = f"val_{metric}-{p.score:.5f}_trial-{p.trial:06d}_fold-{p.fold}_epoch-{p.epoch:04d}.safetensors"
        shutil.copy(path, old / name)
    done = foldstep("recover", str(old), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(score(t.score) in done.stdout for t in trials)
