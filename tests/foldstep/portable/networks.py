"""Trained networks of every kind, by the parts that a worker trains with, and a table that has all that is odd."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import torch

from foldstep.committee import Committee
from foldstep.service.contract.lease import Lease, LeasedTrial
from foldstep.service.contract.out_of_fold import VALIDATION
from foldstep.service.contract.parse import parse_spec
from foldstep.service.contract.space import Params
from foldstep.service.data.ingest import ingest
from foldstep.service.data.resolve import resolve_problem
from foldstep.worker.assignment import TrialWork
from foldstep.worker.checkpoints import checkpoint
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import read_table
from foldstep.worker.out_of_fold import predicted
from foldstep.worker.rerun import Keeper
from foldstep.worker.settings import PACK_BYTES_CPU
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training

QUICK: dict[str, Any] = {"hidden": [6, 6], "epochs": 3, "batch_size": 32, "lr": 0.02}
NAMES = ["size (m²)", "cost", "tail", "town", "street", "open", "built", "seen"]


def mixed_table(n: int = 150, seed: int = 3) -> str:
    """Numbers that are missing, equal or huge, few and many categories, words for true and false, days and times."""
    rng = random.Random(seed)
    rows = [",".join([*NAMES, "amount", "share", "count", "years", "kind", "spam", "mood"])]
    for _ in range(n):
        size, town = rng.gauss(0, 1), rng.choice(["Ulm", "Ulm", "Bonn", "Köln", ""])
        day = datetime(1960, 1, 1, tzinfo=UTC) + timedelta(days=rng.randint(0, 30_000))
        seen = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=rng.randint(0, 10**6))
        y = size + (town == "Ulm") + rng.gauss(0, 0.2)
        cells = [
            f"{size:.4f}", rng.choice(["", "10", "20", "20", "30"]), f"{rng.lognormvariate(0, 4):.5g}", town,
            f"s{min(rng.randint(0, 20), rng.randint(0, 20))}", rng.choice(["False", "True"]), f"{day:%Y-%m-%d}",
            rng.choice([f"{seen:%Y-%m-%d %H:%M}"] * 9 + [""]),
            f"{y:.4f}", f"{2.718 ** y:.5f}", str(max(0, round(y + 1))), f"{rng.uniform(0.5, 3):.3f}",
            "abc"[min(2, max(0, round(y)))], str(int(y > 0.5)), rng.choice(["sad", "glad"]),
        ]  # fmt: skip
        rows.append(",".join(cells))
    return "\n".join(rows) + "\n"


class NothingTrained(Exception):
    """A fold has no network, for it diverged."""


TARGETS = ["amount", "share", "count", "years", "kind", "spam", "mood"]


def train(
    folder: Path, parameters: Mapping[str, Any], *, target: Any = "kind", content: str | None = None, **data: Any
) -> Committee:
    """Train one trial on two folds; its checkpoints are in the folder."""
    (folder / "train.csv").write_text(mixed_table() if content is None else content)
    used = {*(target if isinstance(target, list) else [target]), data.get("exposure")}
    ignore = [name for name in TARGETS if name not in used]
    spec = {
        "name": "x", "data": {"dataset": "train.csv", "target": target, "ignore": ignore, **data}, "cv": {"folds": 2},
        "seed": 1, "method": "random", "parameters": {**QUICK, **parameters}, "budget": {"trials": 1},
    }  # fmt: skip
    if content is not None:
        spec["data"].pop("ignore")  # type: ignore[attr-defined]
    return _trained(folder, spec, parse_spec(spec).space.from_unit({}))


def train_on_classes(folder: Path, params: Params) -> Committee:
    """Train one trial with these hyperparameters, whatever a space of them would be, on the class."""
    (folder / "train.csv").write_text(mixed_table())
    ignore = [name for name in TARGETS if name != "kind"]
    spec = {
        "name": "x", "data": {"dataset": "train.csv", "target": "kind", "ignore": ignore}, "cv": {"folds": 2},
        "seed": 1, "method": "random", "parameters": {"lr": 0.1}, "budget": {"trials": 1},
    }  # fmt: skip
    return _trained(folder, spec, params)


def _trained(folder: Path, spec: dict[str, Any], params: Params) -> Committee:
    torch.set_num_threads(1)
    description = ingest(folder / "train.csv", into=folder)
    canonical = folder / f"{description.fingerprint}.parquet"
    problem = resolve_problem(parse_spec(spec), description, canonical).problem
    source = FoldSource(read_table(canonical, description.fingerprint), problem)
    leased = LeasedTrial(number=3, params=params)
    work = TrialWork(leased, source.n_folds, problem.seed, problem.metric.direction, None)
    training = Training(source, problem.metric.name, Engine(torch.device("cpu"), PACK_BYTES_CPU))
    training.train(work.members, Keeper({3: work}))
    finished = work.finished(problem.fingerprint)
    lease = Lease(lease=1, token="", expires_at=datetime.now(UTC), search="s-1", problem=problem, trials=[leased])
    files = []
    for member, weights in zip(finished.members, finished.weights, strict=True):
        if weights is None:
            raise NothingTrained(str(finished.result))
        data = source.fold(member.fold, member.hp.preparation)
        kept = {VALIDATION: predicted(member.hp, weights, data, source.splits.folds[member.fold][1])}
        name, content = checkpoint(lease, leased, member, weights, data, finished.result, kept)
        files.append(folder / name)
        files[-1].write_bytes(content)
    return Committee(1.0, files, 3)
