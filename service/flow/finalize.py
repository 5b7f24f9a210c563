"""Use cases: make the final model of a search that is over, score it once on the test part, and read it.

No other code of the master reads the predictions of the test part. A final model that is asked for again is the one
that was stored; where a search was extended and has another one, that is scored, too, and says how often this was done.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from foldstep.models.catalog.metrics import METRICS
from foldstep.service.analysis.child import final_score_in_child
from foldstep.service.analysis.final_score import Committee, FinalScored, FinalScoreRequest
from foldstep.service.contract.calibration import NOTHING, Adjustments
from foldstep.service.contract.choice import RefitFound, choose, refit_of, refit_sentences
from foldstep.service.contract.ensemble import Ensemble, EnsembleMember
from foldstep.service.contract.errors import Conflict, InvalidInput, Unavailable
from foldstep.service.contract.final import LEVEL, Final, FinalModel, HeldOutScore
from foldstep.service.contract.numbers import score as written
from foldstep.service.data.allowance import limits_to_compute
from foldstep.service.db import finals, searches
from foldstep.service.db.searches import SearchRow
from foldstep.service.flow import ensemble, files, rank
from foldstep.service.flow.context import Context
from foldstep.service.flow.followed import nested, outer_searches, reseeded
from foldstep.service.flow.networks import OwnReader


def finalize(context: Context, search_id: str) -> FinalModel:
    """Make the final model of a search, or return the one that is stored; its test part is scored here alone.

    Raises:
        NotFound: there is no such search.
        Conflict: it or its refit goes on, it has no scored trial, or its networks' predictions of the test part were
            not kept.
        Unavailable: the score could not be computed.
    """
    with context.database.read() as connection:
        search = searches.get(connection, search_id)
        last = finals.last(connection, search_id)
        parts = outer_searches(connection, search)
    for part in parts:  # the searches without one outer fold, each scored on it
        with suppress(Conflict):  # a fold whose score is undefined is counted as missing, and hinders no other
            finalize(context, part.id)
    if not search.is_over:
        raise Conflict(
            f"The search {search_id} goes on, and what it predicts with may change: finalize it after its end, or stop "
            "it first."
        )
    predicting = _predicting(context, search)
    if last is not None and _is_of(last, predicting):
        return last
    return _stored(context, _model(context, search, predicting, last))


class _Predicting(NamedTuple):
    """What a search predicts with.

    Attributes:
        members: its trials, with the checkpoints that predict.
        winner: the best trial.
        score: on out-of-fold rows; None where no predictions were kept.
        notes: what predicts, where its spec trains an ensemble, or why it does not.
    """

    members: list[EnsembleMember]
    winner: int
    score: float | None
    adjustments: Adjustments
    refit: RefitFound
    notes: list[str]


def _predicting(context: Context, search: SearchRow) -> _Predicting:
    found = ensemble.ensemble(context, search.id)
    if found is not None and found.is_coming:
        raise Conflict(
            f"The ensemble of {search.id} is being trained, and predicts with other networks then: finalize it after "
            "that, or stop the search that trains it first."
        )
    members = _best_alone(context, search) if found is None else found.members
    refit = _refit(context, search, members)
    members = [m.model_copy(update={"checkpoints": refit.checkpoints.get(m.trial, m.checkpoints)}) for m in members]
    if found is None:
        return _Predicting(members, members[0].trial, None, NOTHING, refit, [])
    return _Predicting(members, found.winner, found.score, found.adjustments, refit, _trained_said(found))


def _trained_said(found: Ensemble) -> list[str]:
    if found.words is not None:
        return [f"It predicts with {found.words}: the mean of {found.n_networks} networks."]
    return [] if found.why_alone is None else [f"The best trial predicts alone, since {found.why_alone}."]


def _is_of(model: FinalModel, predicting: _Predicting) -> bool:
    """Tell whether a final model predicts the same."""
    adjustments = predicting.adjustments
    same = (predicting.members, adjustments.temperature, adjustments.threshold)
    return (model.members, model.temperature, model.threshold) == same


def _refit(context: Context, search: SearchRow, members: Sequence[EnsembleMember]) -> RefitFound:
    """Find the refitted networks of the members, if there are some.

    Raises:
        Conflict: there will be some.
    """
    reader = OwnReader(context)
    found = refit_of(reader, reader.search(search.id), [member.trial for member in members])
    if found.is_coming:
        raise Conflict(
            f"The search {search.id} is being refitted, and predicts with other networks then: finalize it after the "
            "end of its refit, or stop that first."
        )
    return found


def final(context: Context, search_id: str) -> Final:
    """Read the last final model of a search.

    Raises:
        NotFound: there is no such search.
    """
    with context.database.read() as connection:
        search = searches.get(connection, search_id)
        last = finals.last(connection, search_id)
        reseed, outer = reseeded(connection, search), nested(connection, search)
    has_part = _has_test_part(search)
    is_scored = last is not None and last.test is not None
    awaits = has_part and not is_scored
    refit = _refit_said(context, search)
    return Final(model=last, has_test_part=has_part, awaits_score=awaits, refit=refit, reseed=reseed, outer=outer)


def _refit_said(context: Context, search: SearchRow) -> list[str]:
    """Tell whether a search predicts with refitted networks, in words; nothing where its spec asks for none."""
    if search.spec.final.refit is None:
        return []
    reader = OwnReader(context)
    try:
        choice = choose(reader, reader.search(search.id))
    except (InvalidInput, Unavailable):  # before the first score, or where the ensemble is not known
        return []
    return refit_sentences(RefitFound(choice.refit, why_not=choice.why_not))


def _has_test_part(search: SearchRow) -> bool:
    return search.problem.data.test is not None


def _stored(context: Context, model: FinalModel) -> FinalModel:
    try:
        with context.database.write() as connection:
            finals.add(connection, model)
    except finals.NumberTaken:  # by the same request, at the same time
        return finalize(context, model.search)
    return model


def _model(context: Context, search: SearchRow, predicting: _Predicting, last: FinalModel | None) -> FinalModel:
    refit, adjustments = predicting.refit, predicting.adjustments
    looks = 0 if last is None or last.test is None else last.test.looks
    scored = _scored(context, search, predicting) if _has_test_part(search) else None
    test = None if scored is None else _held_out(search, scored, looks + 1)
    return FinalModel(
        search=search.id,
        number=1 if last is None else last.number + 1,
        made_at=context.now(),
        members=predicting.members,
        winner=predicting.winner,
        temperature=adjustments.temperature,
        threshold=adjustments.threshold,
        refit=None if refit.search is None else refit.search.id,
        score=predicting.score,
        test=test,
        sentences=[*predicting.notes, *refit_sentences(refit), *_sentences(search, predicting, scored, test)],
    )


def _best_alone(context: Context, search: SearchRow) -> list[EnsembleMember]:
    """Make the best trial the only member, where no out-of-fold predictions were kept to choose others on."""
    rows = rank.leaderboard(context, search.id, limit=1).rows
    if not rows or rows[0].score is None:
        raise Conflict(f"The search {search.id} has no scored trial, so no final model.")
    best = rows[0]
    assert best.score is not None
    return [EnsembleMember(trial=best.trial, weight=1.0, score=best.score, checkpoints=best.checkpoints)]


def _scored(context: Context, search: SearchRow, predicting: _Predicting) -> FinalScored:
    refit, adjustments = predicting.refit.search, predicting.adjustments
    own = search.id if refit is None else refit.id

    def folder(holder: str) -> str:
        return str(files.checkpoint_folder(context.settings, holder))

    winner = rank.trial(context, search.id, predicting.winner)
    request = FinalScoreRequest(
        committees=[Committee(weight=m.weight, folder=folder(m.search or own), checkpoints=m.checkpoints)
                    for m in predicting.members],
        winner=Committee(weight=1.0, folder=folder(search.id), checkpoints=winner.checkpoints),
        metric=search.metric.name,
        task=search.problem.task,
        levels=list(search.problem.data.quantiles or []),
        temperature=adjustments.temperature,
        threshold=adjustments.threshold,
        seed=search.problem.seed,
    )  # fmt: skip
    found = final_score_in_child(request, limits=limits_to_compute(context.settings))
    if found is None:
        raise Conflict(
            f"The networks of {search.id} did not keep what they say of the test part: it was trained by an earlier "
            "version, or with `checkpoints.predictions: false`. `foldstep predict` predicts these rows from a file."
        )
    return found


def _held_out(search: SearchRow, found: FinalScored, looks: int) -> HeldOutScore:
    if found.score is None or found.winner_score is None:
        raise Conflict(
            f"{search.metric.name} has no value on the {found.n_rows:,} test rows of {search.id}, as where all of them "
            "are of one class: hold out more rows, or take another metric."
        )
    return HeldOutScore(
        score=found.score, low=found.low, high=found.high, winner_score=found.winner_score, n_rows=found.n_rows,
        n_resamples=found.n_resamples, looks=looks,
    )  # fmt: skip


def _sentences(
    search: SearchRow, predicting: _Predicting, scored: FinalScored | None, test: HeldOutScore | None
) -> list[str]:
    if scored is None or test is None:
        return ["No rows are held out to score it on: `data.test` in a spec holds some out."]
    between = ""
    if test.low is not None and test.high is not None:
        between = f" ({LEVEL:.0%} interval {written(test.low)} to {written(test.high)})"
    said = f"On {test.n_rows:,} rows that nothing was chosen on: {search.metric.name} {written(test.score)}{between}"
    is_refitted = predicting.refit.search is not None
    if len(predicting.members) > 1 or is_refitted or predicting.members[0].search is not None:
        by_folds = ", by the networks of its folds," if is_refitted else ""
        said += f"; the best trial alone{by_folds} {written(test.winner_score)}"
    sentences = [f"{said}{_out_of_fold(search, predicting, scored)}."]
    if test.looks > 1:
        sentences.append(
            f"It is the final model number {test.looks} that was scored on these rows: the more often one looks at "
            "them and goes on, the less the score says of new rows."
        )
    return sentences


def _out_of_fold(search: SearchRow, predicting: _Predicting, scored: FinalScored) -> str:
    """Tell the score out of fold, and how it is of other answers than that on the test part; empty without one."""
    if predicting.score is None:
        return ""
    adjustments, is_of_classes = predicting.adjustments, METRICS[search.metric.name].is_of_classes
    said = ["as training weighted the classes"] if scored.is_corrected else []
    said += ["before calibration"] if adjustments.temperature != 1 and not is_of_classes else []
    said += ["without the threshold"] if adjustments.threshold is not None and is_of_classes else []
    otherwise = f" ({', '.join(said)})" if said else ""
    of = "it was" if predicting.refit.search is None else "the networks of the folds had"
    return f"; out of fold {of} {written(predicting.score)}{otherwise}"
