"""Networks that predict together: the committees of trials, with weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from foldstep.models.checkpoint import CheckpointDamaged
from foldstep.service.contract.calibration import NOTHING, Adjustments
from foldstep.service.contract.errors import InvalidInput
from foldstep.service.contract.probabilities import is_second, tempered, unweighted
from foldstep.service.contract.reading import TableReading
from foldstep.service.data.read_as import TableAs
from foldstep.threads import in_threads
from foldstep.worker.data.load import Table
from foldstep.worker.predictor import Predictor, pieces

if TYPE_CHECKING:
    from pathlib import Path

    from foldstep.committee import Committee  # brings the client
    from foldstep.service.contract.prediction import CommitteeFiles

Matrix = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Tables = Mapping[TableReading, TableAs]
"""One table under each reading that the networks have."""


@dataclass(frozen=True)
class LoadedCommittee:
    """A committee whose networks are in memory."""

    weight: float
    predictors: Sequence[Predictor]
    trial: int | None = None


@dataclass(frozen=True)
class Ensemble:
    """Committees with the same target and classes, ready to predict by the weighted mean of their means.

    The networks of all folds of a trial are a cross-validation committee (Parmanto, Munro and Doyle 1996), which errs
    less than each of them.

    Attributes:
        adjustments: what is done with that mean; nothing for most.
    """

    committees: Sequence[LoadedCommittee]
    adjustments: Adjustments = NOTHING

    @classmethod
    def load(cls, committees: Iterable[Committee | CommitteeFiles], adjustments: Adjustments = NOTHING) -> Ensemble:
        """Read checkpoint files.

        Raises:
            InvalidInput: there are none, one is damaged, they predict different things, or a weight is not above 0.
        """
        committees = list(committees)
        loaded = [LoadedCommittee(c.weight, [_load(file) for file in c.checkpoints], c.trial) for c in committees]
        return cls.of(loaded, [str(file) for c in committees for file in c.checkpoints], adjustments)

    @classmethod
    def of(
        cls, committees: Sequence[LoadedCommittee], names: Sequence[str], adjustments: Adjustments = NOTHING
    ) -> Ensemble:
        """Check that networks fit together.

        Args:
            committees: the networks.
            names: what each network is called in a refusal, in their order.
            adjustments: see the class.

        Raises:
            InvalidInput: as `load`.
        """
        if not committees or not all(committee.predictors for committee in committees):
            raise InvalidInput("There is no network to predict with: each trial of an ensemble needs a checkpoint.")
        for committee in committees:
            if not 0 < committee.weight < math.inf:
                raise InvalidInput(f"Weights of an ensemble are numbers above 0, however: {committee.weight}.")
        ensemble = cls(committees, adjustments)
        _check_alike(ensemble.predictors, names)
        _check_adjustments(adjustments, ensemble.first)
        return ensemble

    @property
    def predictors(self) -> list[Predictor]:
        """All networks, in the order of the committees."""
        return [predictor for committee in self.committees for predictor in committee.predictors]

    @property
    def first(self) -> Predictor:
        """The first network; the others predict the same target."""
        return self.committees[0].predictors[0]

    @property
    def columns(self) -> list[str]:
        """The columns that a table must have."""
        return list(dict.fromkeys(name for predictor in self.predictors for name in predictor.columns))

    @property
    def shares(self) -> list[float]:
        """The share of each network in the mean, in the order of `predictors`; they sum to 1."""
        total = sum(committee.weight for committee in self.committees)
        return [c.weight / total / len(c.predictors) for c in self.committees for _ in c.predictors]

    @property
    def is_correctable(self) -> bool:
        """Whether the weights that classes had in training are known wherever there were any."""
        return all(predictor.class_weights is not None for predictor in self.predictors if predictor.weighs)

    def half_width(self, share: float) -> float:
        """Find half the width of the intervals that cover a share of the rows.

        Raises:
            InvalidInput: it is not known for this share.
        """
        known = {float(level): width for level, width in self.adjustments.intervals.items()}
        if share in known:
            return known[share]
        has = f"it has them for {', '.join(f'{level:g}' for level in sorted(known))}" if known else "it has none"
        raise InvalidInput(
            f"This model has no interval for {share:g} of the rows; {has}. Intervals come with the ensemble of a "
            "search for one number, and with model files of it."
        )

    def is_calibrated(self, *, weighted: bool = False, uncalibrated: bool = False) -> bool:
        """Tell whether probabilities get a temperature: it is for those that are corrected for class weights."""
        is_left = weighted and any(predictor.weighs for predictor in self.predictors)
        return self.adjustments.temperature != 1 and not uncalibrated and not is_left

    def probabilities(self, tables: Tables, *, weighted: bool = False, uncalibrated: bool = False) -> Matrix:
        """Predict probabilities as users get them: corrected for class weights, averaged, and with a temperature.

        Args:
            tables: the rows.
            weighted: leave them as class weights in training have shifted them, which leaves out the temperature, too.
            uncalibrated: leave out the temperature.
        """
        outputs = self.outputs(tables, is_corrected=not weighted and self.is_correctable)
        is_calibrated = self.is_calibrated(weighted=weighted, uncalibrated=uncalibrated)
        return tempered(outputs, self.adjustments.temperature) if is_calibrated else outputs

    def answers(self, tables: Tables) -> Matrix:
        """Predict values, or what classes are chosen by, in the shape of `Predictor.outputs`: a row's greatest wins.

        That is the probabilities as training weighted the classes, since trials are scored so; with a threshold 1 for
        the class that it gives, and NaN where the row has no prediction.
        """
        if self.adjustments.threshold is None:
            return self.outputs(tables)
        shares = self.probabilities(tables)
        second = np.where(np.isnan(shares[:, 1]), np.nan, is_second(shares, self.adjustments.threshold))
        return np.stack([1 - second, second], axis=1)

    def outputs(self, tables: Tables, *, is_corrected: bool = False) -> Matrix:
        """Predict probabilities or values, in the shape of `Predictor.outputs`.

        Args:
            tables: the rows.
            is_corrected: whether what class weights did to the probabilities is undone.
        """
        return self.outputs_of({reading: Table(table.columns) for reading, table in tables.items()}, is_corrected)

    def outputs_of(self, tables: Mapping[TableReading, Table], is_corrected: bool = False) -> Matrix:
        """Predict rows that are read already; for the arguments see `outputs`."""
        n_rows = tables[self.first.reading].n_rows
        return np.concatenate(in_threads(lambda rows: self._of_piece(tables, rows, is_corrected), pieces(n_rows)))

    def _of_piece(self, tables: Mapping[TableReading, Table], rows: Rows, is_corrected: bool) -> Matrix:
        """Predict some rows: inputs are made once for all networks whose preprocessing is equal."""
        inputs: dict[int, npt.NDArray[np.float32]] = {}
        said = []
        for predictor, same in zip(self.predictors, self._first_alike, strict=True):
            table = tables[predictor.reading]
            if same not in inputs:
                inputs[same] = predictor.inputs(table, rows)
            said.append(_corrected(predictor, predictor.outputs_of(inputs[same], table, rows), is_corrected))
        return self._mean(said)

    @cached_property
    def _first_alike(self) -> list[int]:
        """For each network the first one that has its inputs: of the same fold, with the same scaler and so on."""
        found: list[int] = []
        for i, predictor in enumerate(self.predictors):
            alike = (j for j in dict.fromkeys(found) if _has_inputs_of(predictor, self.predictors[j]))
            found.append(next(alike, i))
        return found

    def _mean(self, said: Sequence[Matrix]) -> Matrix:
        """Average the networks' answers, given in their order: the weighted mean of the committees' means."""
        answers, means = iter(said), []
        for committee in self.committees:
            n = len(committee.predictors)
            means.append(_sum([next(answers) for _ in range(n)]) / n * committee.weight)
        return np.asarray(_sum(means) / sum(committee.weight for committee in self.committees))


def _has_inputs_of(one: Predictor, other: Predictor) -> bool:
    return one.reading == other.reading and one.prepares_as(other)


def _load(checkpoint: Path) -> Predictor:
    try:
        return Predictor.load(checkpoint)
    except (CheckpointDamaged, OSError) as error:
        raise InvalidInput(f"{checkpoint} cannot be used as a checkpoint: {error}.") from error


def _check_alike(predictors: Sequence[Predictor], names: Sequence[str]) -> None:
    for predictor, name in zip(predictors, names, strict=True):
        if _predicted(predictor) != _predicted(predictors[0]):
            raise InvalidInput(
                f"{name} predicts something else than {names[0]}: "
                "give checkpoints of the same targets in the same order, with the same classes or quantiles."
            )


def _check_adjustments(adjustments: Adjustments, first: Predictor) -> None:
    if adjustments.temperature != 1 and first.classes is None:
        raise InvalidInput("A temperature is for probabilities of classes, which these networks do not predict.")
    if adjustments.threshold is not None and len(first.classes or ()) != 2:
        raise InvalidInput("A threshold is for two classes, which these networks do not predict.")


def _predicted(predictor: Predictor) -> tuple[Any, ...]:
    """Identify what a checkpoint predicts: the target columns, and their classes or quantiles."""
    return predictor.target_names, predictor.classes, predictor.quantiles, predictor.classes_of_labels


def _corrected(predictor: Predictor, outputs: Matrix, is_corrected: bool) -> Matrix:
    weights = predictor.class_weights
    return unweighted(outputs, weights) if is_corrected and weights is not None else outputs


def _sum(outputs: Sequence[Matrix]) -> Matrix:
    total = outputs[0]
    for more in outputs[1:]:
        total = total + more
    return total
