"""Find the networks with which a search predicts, as files: what its child processes load."""

from __future__ import annotations

from functools import partial

from foldstep.service.contract.choice import WeighedTrial, kept_checkpoints, weighed_trials, words_for
from foldstep.service.contract.errors import Unavailable
from foldstep.service.contract.prediction import ChosenFiles, CommitteeFiles
from foldstep.service.flow.context import Context
from foldstep.service.flow.ensemble import ensemble
from foldstep.service.flow.files import checkpoint_folder
from foldstep.service.flow.rank import trial
from foldstep.service.flow.view import search


def chosen_files(context: Context, search_id: str, number: int | None = None) -> ChosenFiles:
    """Find the networks of a search's ensemble, or those of one trial.

    Args:
        context: of the master.
        search_id: the search.
        number: of the trial; None for the ensemble.

    Raises:
        NotFound: there is no such search or trial.
        InvalidInput: there is no scored trial, or the trial's checkpoints are not kept.
        Unavailable: the ensemble could not be computed, or it has just become another one.
    """
    view = search(context, search_id)
    weighed, adjustments = weighed_trials(
        view, number, partial(trial, context, search_id), partial(ensemble, context, search_id)
    )
    committees = [_files(context, search_id, one, is_named=number is not None) for one in weighed]
    words = words_for(search_id, [one.trial for one in weighed])
    sentence = f"{words[:1].upper()}{words[1:]}."
    return ChosenFiles(search=search_id, words=sentence, committees=committees, adjustments=adjustments)


def _files(context: Context, search_id: str, weighed: WeighedTrial, *, is_named: bool) -> CommitteeFiles:
    found, folder = weighed.trial, checkpoint_folder(context.settings, search_id).absolute()
    if not found.checkpoints and not is_named and found.rank != 1:
        # while a search goes on its ensemble may be some seconds old, and better trials have taken a member's place
        raise Unavailable(f"The ensemble of {search_id} has just changed; send it again in a moment.")
    paths = [folder / name for name in kept_checkpoints(search_id, found)]
    return CommitteeFiles(trial=found.trial, weight=weighed.weight, checkpoints=paths)
