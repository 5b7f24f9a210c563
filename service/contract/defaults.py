"""The search of a table of which nothing else is said: its space, its validation, its metric and its time.

The space was chosen on training parts alone, before a test row was seen, and is measured: see docs/benchmarks.md. What
depends on the values of the table is decided in `service/data/zero.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foldstep.models.catalog.tasks import Task
from foldstep.service.contract.expansion import beside, use_of
from foldstep.service.contract.parameters import parse_parameters
from foldstep.service.contract.space import Space
from foldstep.service.contract.spec import CvSpec, PresetUse, Spec

PRESET = "realmlp_space"
TIME_S = 120.0


@dataclass(frozen=True)
class Size:
    """What the default space has for tables of a size.

    Attributes:
        up_to: the greatest number of rows outside of the test part; None for no limit. For `EFFORTS` it is that of a
            search of two minutes: of twice the time, twice the rows.
        parameters: as a spec has them.
    """

    up_to: float | None
    parameters: Mapping[str, Any]


_SMALL = [[64, 64, 64], [128, 128, 128]]
_ALL = [*_SMALL, [256, 256, 256]]
EFFORTS = (
    Size(400, {"hidden": _ALL, "epochs": [256, 512]}),
    Size(1500, {"hidden": _ALL, "epochs": 256}),
    Size(8000, {"hidden": _SMALL[::-1], "epochs": 256}),
    Size(20_000, {"hidden": _SMALL, "epochs": [64, 128]}),
    Size(100_000, {"hidden": _SMALL, "epochs": [16, 32, 64]}),
    Size(None, {"hidden": _SMALL, "epochs": [2, 4, 8]}),
)
"""How long networks train, and how large they are, the least first.

Smaller networks stand beside the published ones: in two minutes only small ones are many. From some thousand rows on
the published ones would not end in that time, and what is cut before the end of its schedule is worth little. On the
training parts of two tables epochs were worth more than width: see docs/benchmarks.md."""

BATCHES = (
    Size(400, {"batch_size": [32, 64, 256]}),
    Size(1500, {"batch_size": [64, 256]}),
    Size(None, {"batch_size": 256}),
)
"""Small tables need more steps than 256 epochs of batches of 256 are."""
FOLDS, REPEATS, HOLDOUT = 5, 2, 0.2
FEW_ROWS, MANY_ROWS = 200, 50_000
"""With fewer rows the folds are repeated; with at least so many, one part is held out instead of folds.

Repeated folds double the time of a trial. The space was measured with five folds at 240 rows; below 200 a fold has
fewer than 40 rows, of which one score says little."""

LOSS_OF = {"poisson_deviance": "poisson", "gamma_deviance": "gamma", "tweedie_deviance": "tweedie"}
"""By metric, the loss that the default space has for it beside mse, which may predict too near to 0 for such a score.

mse stays, and is the first trial's: the published rates are for it, and some are too high for a log of a mean."""


def default_parameters(
    n_rows: int, *, time_s: float = TIME_S, metric: str | None = None, has_numbers: bool = True
) -> dict[str, Any]:
    """Write the default space of a table, as a spec has its parameters.

    Args:
        n_rows: rows outside of the test part.
        time_s: time of the search; without a limit two minutes are as good as any.
        metric: that trials are ranked by; None for one that every loss goes with.
        has_numbers: whether a feature is numeric; embeddings of numbers are for these alone.
    """
    effort, batch = _for(n_rows * TIME_S / time_s, EFFORTS), _for(n_rows, BATCHES)
    written = {"preset": PRESET, "hidden": effort["hidden"], **batch, "epochs": effort["epochs"]}
    if metric in LOSS_OF:
        clamped = {"value": "train", "when": {"loss": "mse"}}  # of the others the output is a logarithm
        written |= {"loss": [LOSS_OF[metric], "mse"], "clamp_output": clamped}
    return written if has_numbers else {**written, "number_embedding": "none"}


def _for(n_rows: float, sizes: Sequence[Size]) -> Mapping[str, Any]:
    return next(size.parameters for size in sizes if size.up_to is None or n_rows <= size.up_to)


def for_stages(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Fix the epochs of parameters for a method whose stages set them: the greatest number is that of the last one."""
    epochs = parameters["epochs"]
    return {**parameters, "epochs": max(epochs) if isinstance(epochs, list) else epochs}


def with_parameters(spec: Spec, parameters: Mapping[str, Any], task: Task) -> Spec:
    """Give a spec the default parameters, as if they were written in it.

    Raises:
        ValueError: the table above names a parameter, or a value of one, that there is not.
    """
    own, faults = parse_parameters({name: value for name, value in parameters.items() if name != "preset"})
    if faults:
        raise ValueError(f"the default space has a fault: {faults[0]}")
    name: str = parameters["preset"]
    preset: PresetUse = use_of(name, own)
    return spec.model_copy(update={"space": Space(parameters=beside(own, name, task)), "preset": preset})


def default_cv(n_rows: int, class_rows: Collection[int] = ()) -> CvSpec:
    """Choose the validation of a table.

    A class with fewer rows than there are folds cannot be in each. A small table then has fewer folds. In one with many
    rows, or of which a class has a single row, classes are not kept in proportion.

    Args:
        n_rows: rows outside of the test part.
        class_rows: rows of each class among them; none for a regression.
    """
    rarest = min(class_rows, default=n_rows)
    if n_rows >= MANY_ROWS:
        return CvSpec(holdout=HOLDOUT, stratify=None if rarest >= 2 else False)
    repeats = REPEATS if n_rows < FEW_ROWS else 1
    n_folds = max(2, min(FOLDS, n_rows))
    if rarest >= n_folds:
        return CvSpec(folds=n_folds, repeats=repeats)
    if n_rows >= FEW_ROWS or rarest < 2:
        return CvSpec(folds=n_folds, repeats=repeats, stratify=False)
    return CvSpec(folds=rarest, repeats=repeats)
