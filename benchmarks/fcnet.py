"""Compare trainings with a published table of configurations (Klein and Hutter 2019, arXiv 1905.04970).

The table holds the validation errors of two-hidden-layer networks on Parkinsons, trained by others with Keras. The same
configurations are trained here, packed, as they were there: inputs and target z-scored by the training part, 60 %
training and 20 % validation, Glorot-uniform weights, zero biases, Adam with Keras' defaults, 100 epochs at a constant
rate or one that falls to zero by a cosine per epoch, dropout after each hidden layer. The validation error of the
z-scored target after the last epoch is compared with the mean of the four published seeds.

Differences: the published splits are not known, and each published seed had a different one (here the configurations
take turns on four splits); Keras' Adam adds its eps before the bias correction of the second moment, PyTorch's after.
"""

from __future__ import annotations

import csv
import gzip
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.problem import problem_of
from benchmarks.report import RESULTS, arguments, publish
from benchmarks.scatter import Point, scatter
from benchmarks.sides import ScoreKeeper
from foldstep.models.catalog.preparation import Preparation
from foldstep.models.hyperparameters import Hyperparameters, resolve
from foldstep.service.contract.columns import NumberColumn
from foldstep.service.contract.spec import CvSpec, DataSpec
from foldstep.worker.data.inputs import FoldSource
from foldstep.worker.data.load import Table
from foldstep.worker.feed.shapes import FoldShape, columns_of, n_batches
from foldstep.worker.settings import PACK_BYTES_CPU
from foldstep.worker.steps.cost import DEFAULT_OVERHEAD
from foldstep.worker.steps.engine import Engine
from foldstep.worker.train.loop import Training
from foldstep.worker.train.member import Member
from foldstep.worker.train.packer import plan_packs

DATA = Path(__file__).parents[2] / "shared" / "data"
PROCESSES = 2
SPLITS = 4
PER_STRATUM = 9  # of the 24 strata (batch size, learning rate): 216 configurations
EPOCHS = 100
GOALS = {"spearman": "at least 0.97", "ratio": "0.93 to 1.07"}
Errors: TypeAlias = dict[int, float]
"""Configuration number to validation error; infinite where the network diverged."""


@dataclass(frozen=True)
class Published:
    """One row of the table: a configuration, and its validation error with each of four seeds."""

    settings: dict[str, str]
    errors: tuple[float, ...]

    @property
    def error(self) -> float:
        """The mean over the seeds."""
        return sum(self.errors) / len(self.errors)

    @cached_property
    def hp(self) -> Hyperparameters:
        """The configuration as Foldstep's hyperparameters."""
        s = self.settings
        return resolve(
            {
                "hidden": [int(s["n_units_1"]), int(s["n_units_2"])],
                "activation_1": s["activation_fn_1"],
                "activation_2": s["activation_fn_2"],
                "dropout_1": float(s["dropout_1"]),
                "dropout_2": float(s["dropout_2"]),
                "lr": float(s["init_lr"]),
                "schedule": {"const": "constant", "cosine": "cosine"}[s["lr_schedule"]],
                "batch_size": int(s["batch_size"]),
                "init": "glorot_uniform",
                "eps": 1e-7,
                "epochs": EPOCHS,
            }
        )


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    chosen = sample(read_published(), 1 if options.quick else PER_STRATUM)
    begun = time.monotonic()
    errors = train(chosen)
    wall_s = time.monotonic() - begun
    publish(
        "fcnet", options, comparisons(chosen, errors),
        goals=GOALS, configurations=len(chosen), diverged=sum(not math.isfinite(e) for e in errors.values()),
        member_steps=sum(EPOCHS * n_batches(_shape().n_train, p.hp.batch_size) for p in chosen),
        wall_s=round(wall_s, 1), processes=PROCESSES,
        unit="spearman and median ratio of our errors to the mean of the published seeds; seeds_*: of each published"
        " seed to the mean of the other three",
    )  # fmt: skip
    if options.save:
        save_points(chosen, errors)


def read_published() -> list[Published]:
    """Read the whole table."""
    with gzip.open(DATA / "fcnet_parkinsons_table.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    seeds = [name for name in rows[0] if name.startswith("valid_mse_")]
    return [
        Published({k: v for k, v in row.items() if k not in seeds}, tuple(float(row[s]) for s in seeds)) for row in rows
    ]


def sample(table: Sequence[Published], per_stratum: int) -> list[Published]:
    """Draw `per_stratum` random configurations of each pair of batch size and learning rate."""
    strata: dict[tuple[int, float], list[Published]] = {}
    for row in table:
        strata.setdefault((row.hp.batch_size, row.hp.lr), []).append(row)
    generator = np.random.default_rng(0)
    return [
        strata[key][i]
        for key in sorted(strata)
        for i in sorted(generator.choice(len(strata[key]), per_stratum, replace=False))
    ]


# -- training ---------------------------------------------------------------------------------------------


@cache
def source() -> FoldSource:
    """Load Parkinsons, split four times: 60 % training, 20 % validation, 20 % unused."""
    with gzip.open(DATA / "parkinsons.csv.gz", "rt") as file:
        names = file.readline().strip().split(",")
        values = np.loadtxt(file, delimiter=",")
    data = DataSpec(dataset="parkinsons", target="total_updrs", task="regression", test=0.2)
    problem = problem_of(data, CvSpec(holdout=0.25, repeats=SPLITS), "mse", n_folds=SPLITS)
    return FoldSource(Table({name: NumberColumn(values[:, i].copy()) for i, name in enumerate(names)}), problem)


def _shape() -> FoldShape:
    data = source().fold(0, Preparation("standard"))
    return FoldShape(len(data.y_train), len(data.y_valid), data.n_inputs)


def train(chosen: Sequence[Published]) -> Errors:
    """Train the configurations and return the validation error of each after its last epoch.

    The processes take packs one by one, those with the most work first, so that both end at about the same time.
    """
    members = [Member(i, i % SPLITS, row.hp) for i, row in enumerate(chosen)]
    packs = plan_packs(members, {m.key: _shape() for m in members}, 1, PACK_BYTES_CPU)
    packs.sort(key=pack_work, reverse=True)
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # for the children
    errors: Errors = {}
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        for done in pool.imap_unordered(train_pack, packs):
            errors |= done
            print(f"{len(errors)} of {len(chosen)} configurations", file=sys.stderr)
    return errors


def pack_work(pack: Sequence[Member]) -> float:
    """Estimate the work of a pack in multiply-adds: forward, two products backward, the update, overhead per step."""
    hp = pack[0].hp
    weights = sum(_shape().n_inputs * m.hp.hidden[0] + m.hp.hidden[0] * m.hp.hidden[1] for m in pack)
    update = 10  # the optimizer's time for each weight, in multiply-adds
    per_step = DEFAULT_OVERHEAD + weights * (3 * columns_of(hp.batch_size) + update)
    return n_batches(_shape().n_train, hp.batch_size) * per_step


def train_pack(pack: Sequence[Member]) -> Errors:
    """Train one pack in this process and return the errors of its members."""
    torch.set_num_threads(1)
    watch = ScoreKeeper()
    Training(source(), "mse", Engine(torch.device("cpu"), PACK_BYTES_CPU)).train(pack, watch)
    return {trial: _standardised(fold, scores) for (trial, fold), scores in watch.scores.items()}


def _standardised(fold: int, scores: Sequence[float]) -> float:
    """Scale the last epoch's mean squared error by the target's variance in the training part."""
    if math.isnan(scores[-1]):
        return math.inf
    return scores[-1] / source().fold(fold, Preparation("standard")).target.scale ** 2


# -- comparison -------------------------------------------------------------------------------------------


def comparisons(chosen: Sequence[Published], errors: Errors) -> list[dict[str, Any]]:
    """Compute one row for all configurations, and one for each value of each hyperparameter."""
    everyone = range(len(chosen))
    rows = [_comparison("all", everyone, chosen, errors)]
    for name in ("batch_size", "activation_fn_1", "activation_fn_2", "init_lr", "lr_schedule"):
        for value in sorted({row.settings[name] for row in chosen}, key=_in_order):
            picked = [i for i in everyone if chosen[i].settings[name] == value]
            rows.append(_comparison(f"{name.replace('fn_', '')} {value}", picked, chosen, errors))
    return rows


def _in_order(value: str) -> tuple[float, str]:
    try:
        return (float(value), "")
    except ValueError:
        return (math.inf, value)


def _comparison(name: str, picked: Sequence[int], chosen: Sequence[Published], errors: Errors) -> dict[str, Any]:
    ours = np.array([errors[i] for i in picked])
    published = np.array([chosen[i].errors for i in picked])
    mean = published.mean(axis=1)
    others = [np.delete(published, s, axis=1).mean(axis=1) for s in range(published.shape[1])]
    pairs = list(zip(published.T, others, strict=True))
    return {
        "which": name,
        "n": len(picked),
        "spearman": _spearman(ours, mean),
        "ratio": float(np.median(ours / mean)),
        "seeds_spearman": float(np.mean([_spearman(seed, rest) for seed, rest in pairs])),
        "seeds_ratio": float(np.mean([np.median(seed / rest) for seed, rest in pairs])),
    }


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    return float(spearmanr(a, b).statistic)


def save_points(chosen: Sequence[Published], errors: Errors) -> None:
    """Write the scatter plot as SVG, and every configuration with both errors as CSV."""
    labels = [" ".join(f"{k}={v}" for k, v in row.settings.items()) for row in chosen]
    points = [
        Point(row.error, errors[i], f"batch size {row.hp.batch_size}", f"{labels[i]}: {row.error:.4g}, {errors[i]:.4g}")
        for i, row in enumerate(chosen)
    ]
    title = "Validation error (z-scored target) after 100 epochs, Parkinsons"
    picture = scatter(points, title, "published: Keras, mean of four seeds", "Foldstep, packed")
    (RESULTS / "fcnet.svg").write_text(picture)
    with (RESULTS / "fcnet.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*chosen[0].settings, "published", "foldstep"])
        writer.writerows(
            [*row.settings.values(), f"{row.error:.6g}", f"{errors[i]:.6g}"] for i, row in enumerate(chosen)
        )


if __name__ == "__main__":
    main()
