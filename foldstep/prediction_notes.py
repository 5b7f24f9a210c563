"""The sentences that tell what cells a prediction could not use, and what was done with its probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from foldstep.ensemble import Ensemble
from foldstep.service.contract.columns import CategoryColumn
from foldstep.service.data.read_as import TableAs
from foldstep.worker.predictor import Predictor

_EXAMPLES = 3


def unfit_note(predictors: Sequence[Predictor], table: TableAs) -> str:
    """Tell which cells did not fit their column; empty where all did."""
    used = {name for predictor in predictors for name in predictor.columns}
    unfit = {name: found for name, found in table.unfit.items() if name in used}
    n = sum(found.count for found in unfit.values())
    if not n:
        return ""
    columns = names_with({name: _seen(found.count, found.examples) for name, found in unfit.items()})
    return (
        f"{_cells(n, 'does not fit its column and counts', 'do not fit their column and count')} as missing: {columns}."
    )


def unseen_note(predictors: Sequence[Predictor], table: TableAs) -> str:
    """Tell which categories none of the networks has an input for; empty where there are none."""
    counts = {}
    for name in dict.fromkeys(coding.name for p in predictors for coding in p.preprocessor.categories):
        column = table.columns[name]
        assert isinstance(column, CategoryColumn)  # its reading says so
        known = {label for p in predictors for c in p.preprocessor.categories if c.name == name for label in c.labels}
        unseen = [label for label in column.labels if label not in known]
        if unseen:
            n_rows = np.bincount(column.codes[column.codes >= 0], minlength=len(column.labels))
            n = sum(int(n_rows[i]) for i, label in enumerate(column.labels) if label not in known)
            counts[name] = (n, unseen)
    if not counts:
        return ""
    columns = names_with({name: _seen(n, unseen) for name, (n, unseen) in counts.items()})
    cells = _cells(sum(n for n, _ in counts.values()), "has a category", "have a category")
    return f"{cells} that the training data did not have, or too rarely to learn from: {columns}."


def unknown_note(predictors: Sequence[Predictor], n: int) -> str:
    """Tell how many rows have no prediction, and why; empty where all have one."""
    if not n:
        return ""
    rows = "1 row has" if n == 1 else f"{n:,} rows have"
    exposure = predictors[0].facts["context"]["data"].get("exposure")
    missing = "" if exposure is None else f"the exposure ({exposure}) is missing there or below 0, or "
    return f"{rows} no prediction: {missing}numbers are too far from those of the training data to compute with."


def weights_note(predictors: Sequence[Predictor], *, weighted: bool) -> str:
    """Tell what class weights did to the probabilities; empty where training had none."""
    if not any(predictor.weighs for predictor in predictors):
        return ""
    shifted = "Training weighted the classes, which shifts probabilities towards classes with great weights"
    if weighted:
        return f"{shifted}: these are left so (--weighted)."
    if any(predictor.weighs and predictor.class_weights is None for predictor in predictors):
        return f"{shifted}: these are left so, since a checkpoint of an earlier version does not tell the weights."
    return f"{shifted}: these are corrected to the true shares of the classes; --weighted leaves them as they were."


def temperature_note(ensemble: Ensemble, weighted: bool, uncalibrated: bool) -> str:
    """Tell what a temperature did to the probabilities; empty where there is none."""
    temperature = ensemble.adjustments.temperature
    if temperature == 1:
        return ""
    fitted = f"A temperature of {temperature:.3g} from out-of-fold rows"
    if ensemble.is_calibrated(weighted=weighted, uncalibrated=uncalibrated):
        return f"{fitted} calibrates these probabilities; --uncalibrated leaves it out."
    option = "--uncalibrated" if uncalibrated else "--weighted, as it is for corrected probabilities"
    return f"{fitted} is left out ({option})."


def threshold_note(ensemble: Ensemble) -> str:
    """Tell by which threshold classes are chosen; empty where the most probable one is taken."""
    threshold, classes = ensemble.adjustments.threshold, ensemble.first.classes
    if threshold is None or classes is None:
        return ""
    return (
        f"{classes[1]} is predicted where its probability is above {threshold:.3g}, a threshold that was chosen on "
        "out-of-fold rows (final.threshold in the spec)."
    )


def names_with(said: Mapping[str, str]) -> str:
    """List names, each with what is said of it in brackets."""
    return ", ".join(f"{name} ({words})" if words else name for name, words in said.items())


def _seen(n: int, examples: Sequence[str]) -> str:
    shown = ", ".join(repr(example) for example in examples[:_EXAMPLES])
    return f"{n:,}: {shown}{', …' if len(examples) > _EXAMPLES else ''}"


def _cells(n: int, one: str, more: str) -> str:
    return f"1 cell {one}" if n == 1 else f"{n:,} cells {more}"
