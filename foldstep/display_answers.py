"""The winner, the ensemble and the final model of a search in words."""

from __future__ import annotations

from foldstep.client import Foldstep
from foldstep.service.contract.ensemble import Ensemble
from foldstep.service.contract.errors import Conflict, Unavailable
from foldstep.service.contract.leaderboard import SearchView
from foldstep.service.contract.numbers import score
from foldstep.service.contract.states import SearchState


def answers(master: Foldstep, search: SearchView) -> list[str]:
    """Tell how sure the winner of a search is, and its ensemble."""
    winner = master.winner(search.id)
    return [*([] if winner is None else winner.sentences), *ensemble(master, search)]


def final(master: Foldstep, search: SearchView) -> list[str]:
    """Score the final model of a completed search, and tell that and what the searches that followed it found.

    Nothing is said where its spec has neither a test part nor searches that follow.
    """
    if search.state is not SearchState.COMPLETED or not (master.final(search.id).has_test_part or search.followers):
        return []
    try:
        model = master.finalize(search.id)
    except (Conflict, Unavailable) as error:
        return [f"The final model is not scored: {error.message}"]
    found = master.final(search.id)
    followed = [report.sentences for report in (found.reseed, found.outer) if report is not None]
    of_model = model.sentences if found.has_test_part else found.refit
    return [*of_model, *(said for sentences in followed for said in sentences)]


def ensemble(master: Foldstep, search: SearchView) -> list[str]:
    """Tell which trials of a search predict together and what that brings; nothing before the first score."""
    if search.best is None or not search.best.checkpoints:
        return []
    try:
        found = master.ensemble(search.id)
    except Unavailable as error:
        return [f"The ensemble is not known: {error.message}"]
    return [] if found is None else sentences(search, found)


def sentences(search: SearchView, found: Ensemble) -> list[str]:
    """Describe an ensemble, one sentence or two each."""
    cost = [] if found.cost_sentence is None else [found.cost_sentence]
    if found.words is not None:
        said = (
            f"Ensemble: {found.words}, {found.n_networks} networks: {search.metric.name} {score(found.score)} on "
            f"out-of-fold rows, trial {found.winner} alone {score(found.winner_score)}. `foldstep predict` uses it."
        )
        return [said, *cost, *found.notes]
    if len(found.members) == 1:
        return found.notes
    names = ", ".join(f"{member.trial} ({member.weight:.0%})" for member in found.members)
    said = (
        f"Ensemble of trials {names}, {found.n_networks} networks: {search.metric.name} {score(found.score)} on "
        f"out-of-fold rows, trial {found.winner} alone {score(found.winner_score)}"
    )
    if found.held_out_score is not None:
        said += (
            f"; on rows that took no part in the choice {score(found.held_out_score)} against "
            f"{score(found.held_out_winner_score)} for the best trial"
        )
    return [f"{said}. `foldstep predict` uses it.", *cost, *found.notes]
