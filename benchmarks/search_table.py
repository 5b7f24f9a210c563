"""The search methods on a published table, without training: Klein and Hutter 2019 (arXiv 1905.04970), Parkinsons.

A configuration's error is looked up: the mean of its four published seeds. The regret is the least error found so far
minus the least of all 62,208. Foldstep proposes in batches of its default size, as in a search; Optuna's samplers
propose one trial at a time, so that each proposal uses all results before it. Additional rows have Foldstep do the same
(`batch: 1`), which separates the effect of the method from that of the batches. Both sides search the same space:
ordered values are integers in that order, others are lists of choices without an order.
"""

from __future__ import annotations

import csv
import gzip
import multiprocessing
import os
import statistics
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from benchmarks.report import arguments, publish
from foldstep.models.catalog.metrics import Direction
from foldstep.service.contract.methods import METHODS
from foldstep.service.contract.space import Choices, Distribution, IntRange, Params, Space
from foldstep.service.contract.spec import DataSpec, MetricSpec, Spec
from foldstep.service.contract.states import TrialState
from foldstep.service.contract.trial import TrialRecord
from foldstep.service.planner.learning import LearningPlanner
from foldstep.service.planner.propose import propose
from foldstep.service.planner.stages import first_stage, make_planner

TABLE = Path(__file__).parents[2] / "shared" / "data" / "fcnet_parkinsons_table.csv.gz"
EVALUATIONS = (25, 50, 100, 200)
SEEDS = 100  # with twenty, two random searches differed
SEEDS_GP = 10  # a Gaussian process takes a minute for 200 proposals, one at a time
ORDERED = ("n_units_1", "n_units_2", "dropout_1", "dropout_2", "init_lr", "batch_size")
COMPARED = [name for name, method in METHODS.items() if not (method.enumerates or method.is_staged)]
Losses: TypeAlias = Iterator[float]


class Run(NamedTuple):
    """One search: the side, its method and the seed."""

    side: str
    method: str
    seed: int


def main() -> None:
    """Measure and publish."""
    options = arguments(__doc__ or "")
    jobs = list(_jobs(options.quick))
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # for the children
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        regrets = dict(zip(jobs, pool.imap(regrets_of, jobs), strict=True))
    sides = dict.fromkeys((job.side, job.method) for job in jobs)
    publish(
        "search_table", options, [_row(side, method, regrets) for side, method in sides],
        unit="regret: least validation error so far minus the table's least; median (quartiles) over seeds",
        goals="none worse than Optuna's equivalent; tpe at 100 at most half of random's",
        best_error=min(published().values()),
    )  # fmt: skip


def _jobs(quick: bool) -> Iterator[Run]:
    for method in COMPARED:
        n_seeds = 2 if quick else SEEDS_GP if method == "gp" else SEEDS
        for seed in range(n_seeds):
            yield Run("foldstep", method, seed)
            if method in OPTUNA and METHODS[method].learns:
                yield Run("foldstep, one at a time", method, seed)
            if method in OPTUNA and not (quick and method == "gp"):
                yield Run("optuna", method, seed)


def _row(side: str, method: str, regrets: dict[Run, list[float]]) -> dict[str, Any]:
    own = [found for job, found in regrets.items() if (job.side, job.method) == (side, method)]
    row: dict[str, Any] = {"side": side, "method": method, "seeds": len(own)}
    for place, n in enumerate(EVALUATIONS):
        low, middle, high = statistics.quantiles([found[place] for found in own], n=4, method="inclusive")
        row[f"{n}"] = f"{middle:.5f} ({low:.5f} to {high:.5f})"
    return row


@cache
def published() -> dict[tuple[str, ...], float]:
    """Read the mean error of each configuration, keyed by its values in the order of `columns`."""
    with gzip.open(TABLE, "rt") as file:
        rows = list(csv.DictReader(file))
    seeds = [name for name in rows[0] if name.startswith("valid_mse_")]
    names = [name for name in rows[0] if name not in seeds]
    return {tuple(row[n] for n in names): statistics.fmean(float(row[s]) for s in seeds) for row in rows}


@cache
def columns() -> dict[str, list[str]]:
    """List each column's values; those of ordered columns in increasing order."""
    with gzip.open(TABLE, "rt") as file:
        names = [n for n in next(csv.reader(file)) if not n.startswith("valid_mse_")]
    values = {n: {key[i] for key in published()} for i, n in enumerate(names)}
    return {n: sorted(v, key=(lambda x: (float(x), x)) if n in ORDERED else None) for n, v in values.items()}


def error_at(places: dict[str, int]) -> float:
    """Look up the error of a configuration, given by the position of each value in its column."""
    return published()[tuple(values[places[name]] for name, values in columns().items())]


def regrets_of(run: Run) -> list[float]:
    """Run one search; return the regret after each number of `EVALUATIONS`."""
    found = optuna_alone(run) if run.side == "optuna" else foldstep(run)
    losses = [loss for loss, _ in zip(found, range(EVALUATIONS[-1]), strict=False)]
    least = min(published().values())
    return [min(losses[:n]) - least for n in EVALUATIONS]


def foldstep(run: Run) -> Losses:
    """Search with Foldstep's planner in this process, batch by batch; random search has no batches."""
    space = Space(parameters={name: _distribution(name, len(values)) for name, values in columns().items()})
    spec = Spec.model_validate(
        {"name": "table", "method": run.method, "seed": run.seed, "space": space, "data": DataSpec(dataset="digits"),
         "budget": {"trials": EVALUATIONS[-1]}, "metric": MetricSpec(name="mse"),
         "batch": None if run.side == "foldstep" else 1}
    )  # fmt: skip
    plan = first_stage(spec)
    is_learning = plan.batch is not None
    planner = (
        LearningPlanner(plan, spec.seed, spec.method, Direction.MINIMIZE, propose)
        if is_learning
        else make_planner(spec, plan)
    )
    history: list[TrialRecord] = []
    while len(history) < EVALUATIONS[-1]:
        for trial in planner.suggest(len(history), EVALUATIONS[-1], history).trials:
            loss = error_at(_places(trial.params))
            done = TrialRecord(
                number=trial.number, stage=0, state=TrialState.COMPLETED, params=trial.params, score=loss
            )
            history.append(done)
            yield loss


def _distribution(name: str, n_values: int) -> Distribution:
    return IntRange(low=0, high=n_values - 1) if name in ORDERED else Choices(choices=list(range(n_values)))


def _places(params: Params) -> dict[str, int]:
    return {name: int(str(params[name])) for name in columns()}


def _random(seed: int) -> Any:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


def _tpe(seed: int) -> Any:
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed)


def _gp(seed: int) -> Any:
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed)


def _cmaes(seed: int) -> Any:
    from optuna.samplers import CmaEsSampler

    return CmaEsSampler(seed=seed, warn_independent_sampling=False)


OPTUNA: dict[str, Callable[[int], Any]] = {"random": _random, "tpe": _tpe, "gp": _gp, "cmaes": _cmaes}
"""Optuna's samplers with their default settings."""


def optuna_alone(run: Run) -> Losses:
    """Search with Optuna, one trial at a time."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(sampler=OPTUNA[run.method](run.seed))
    while True:
        trial = study.ask()
        loss = error_at({name: _suggested(trial, name, values) for name, values in columns().items()})
        study.tell(trial, loss)
        yield loss


def _suggested(trial: Any, name: str, values: Sequence[str]) -> int:
    if name in ORDERED:
        return int(trial.suggest_int(name, 0, len(values) - 1))
    return int(trial.suggest_categorical(name, range(len(values))))


if __name__ == "__main__":
    main()
