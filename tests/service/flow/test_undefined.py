"""A trial whose metric is undefined: no score, no rank, no divergence, no failure, and no part in the analysis."""

from __future__ import annotations

from foldstep.service.contract.states import SearchState, TrialState
from foldstep.service.flow import insight, rank, view
from foldstep.service.flow.context import Context
from tests.service.scenes import Hand, new_search, result


def test_scores_whose_mean_overflows_are_undefined(context: Context) -> None:
    search = new_search(context, cv={"folds": 4}, metric="log_loss")
    hand = Hand(context)
    hand.report(hand.take(), result(0, (1e308,) * 4))
    trial = rank.trial(context, search, 0)
    assert (trial.state, trial.score, trial.rank) == (TrialState.UNDEFINED, None, None)
    assert trial.message == "Its folds have scores, but their mean is too large for double precision."


UNDEFINED = "In epoch 1 of fold 0, although the losses are finite, mse is undefined: its errors are too large."


def test_an_undefined_metric_is_an_outcome_of_its_own(context: Context) -> None:
    search = new_search(context, budget={"trials": 4, "failed": 2})
    hand = Hand(context)
    held = hand.take(8)
    hand.report(held, *(result(n, (0.5, None), outcome="undefined", message=UNDEFINED) for n in range(3)))
    trial = rank.trial(context, search, 0)
    assert (trial.state, trial.score, trial.rank) == (TrialState.UNDEFINED, None, None)
    assert (trial.folds, trial.message) == ([0.5, None], UNDEFINED)
    hand.report(held, result(3, (0.5, 0.5)))
    seen = view.search(context, search)
    assert seen.counts == {TrialState.UNDEFINED: 3, TrialState.COMPLETED: 1}, "it fills its place in the budget"
    assert seen.state is SearchState.COMPLETED, "and does not count as failed"
    assert not [note for note in seen.notes if "diverged" in note]


def test_a_search_without_a_score_says_whether_the_metric_or_the_training_failed(context: Context) -> None:
    search = new_search(context, budget={"trials": 3})
    hand = Hand(context)
    sent = [result(n, (None, None), outcome="undefined", message=UNDEFINED) for n in range(2)]
    hand.report(hand.take(6), *sent, result(2, (None, None), outcome="diverged"))
    notes = view.search(context, search).notes
    assert notes[0] == f"No trial has a score: accuracy was undefined in 2; the last said: {UNDEFINED}"
    assert notes[1].startswith("1 other trial diverged. The one that lasted longest is trial 2")
    assert not [note for note in notes if "Every trial diverged" in note]


def test_the_analysis_leaves_undefined_trials_out_and_says_so(context: Context) -> None:
    search = new_search(context, budget={"trials": 6}, parameters={"optimizer": ["adam", "sgd"]})
    hand = Hand(context)
    held = hand.take(12)
    results = [result(n, (0.5, 0.6 + n / 100)) for n in range(5)]
    hand.report(held, *results, result(5, (None, None), outcome="undefined", message=UNDEFINED))
    found = insight.compare(context, search, "optimizer")
    assert sum(c.trials for c in found.contenders) == 5
    assert sum(c.diverged for c in found.contenders) == 0
    said = "1 trial is left out: its metric is undefined (`foldstep show` says why)."
    assert found.sentence.endswith(said)
    assert insight.importance(context, search).notes[-1] == said
