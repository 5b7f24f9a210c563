"""Use case: the training diagnostics of a trial, and what follows from them."""

from __future__ import annotations

from foldstep.models.hyperparameters import resolve
from foldstep.service.contract.diagnose import diagnose
from foldstep.service.contract.diagnostics import Reading
from foldstep.service.contract.leaderboard import FoldView, TrialDiagnostics
from foldstep.service.contract.report import FoldResult
from foldstep.service.db import ranking, scores, searches
from foldstep.service.flow.context import Context


def diagnostics(context: Context, search_id: str, number: int) -> TrialDiagnostics:
    """Read the training diagnostics of one trial, and diagnose them in words.

    Raises:
        NotFound: there is no such search or trial.
    """
    with context.database.read() as connection:
        search = searches.get(connection, search_id)
        trial = ranking.get(connection, search_id, number)
        folds = scores.results(connection, search_id, number)
    return TrialDiagnostics(
        trial=number,
        targets=search.problem.data.targets,
        metric=search.metric,
        diagnoses=diagnose(resolve(trial.params, seed=search.spec.seed), folds) if folds else [],
        folds={fold.fold: _view(fold) for fold in folds},
    )


def _view(fold: FoldResult) -> FoldView:
    seen = fold.diagnostics
    valid_loss = seen.valid_loss if seen is not None else []
    probes = seen.readings if seen is not None else []
    return FoldView(
        best_epoch=fold.best_epoch,
        train_loss=fold.curve.train_loss,
        valid_loss=valid_loss,
        score=fold.curve.score,
        probes=probes,
        gap=[_gap(reading, valid_loss) for reading in probes],
        target_scores=fold.target_scores,
    )


def _gap(reading: Reading, valid_loss: list[float | None]) -> float | None:
    known = valid_loss[reading.epoch - 1] if reading.epoch <= len(valid_loss) else None
    return None if known is None or reading.train_loss is None else known - reading.train_loss
