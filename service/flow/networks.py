"""Find the networks with which a search predicts, as files: what its child processes load."""

from __future__ import annotations

from dataclasses import dataclass

from foldstep.service.contract.choice import WeighedTrial, choose, kept_checkpoints, words_for
from foldstep.service.contract.ensemble import Ensemble
from foldstep.service.contract.errors import Unavailable
from foldstep.service.contract.leaderboard import SearchView, TrialView
from foldstep.service.contract.prediction import ChosenFiles, CommitteeFiles
from foldstep.service.flow import ensemble, rank, view
from foldstep.service.flow.context import Context
from foldstep.service.flow.files import checkpoint_folder


@dataclass(frozen=True)
class OwnReader:
    """Reads the searches of this master, as a client would; see `contract.choice.Reader`."""

    context: Context

    def search(self, search: str) -> SearchView:
        """Find a search by its id."""
        return view.search(self.context, search)

    def trial(self, search: str, number: int) -> TrialView:
        """Find a trial of a search by its number."""
        return rank.trial(self.context, search, number)

    def ensemble(self, search: str) -> Ensemble | None:
        """Find the ensemble of a search; None where no predictions were kept to choose one on."""
        return ensemble.ensemble(self.context, search)


def chosen_files(context: Context, search_id: str, number: int | None = None, *, of_folds: bool = False) -> ChosenFiles:
    """Find the networks of a search's ensemble, or those of one trial.

    Args:
        context: of the master.
        search_id: the search.
        number: of the trial; None for the ensemble.
        of_folds: see `choose`.

    Raises:
        NotFound: there is no such search or trial.
        InvalidInput: there is no scored trial, or the trial's checkpoints are not kept.
        Unavailable: the ensemble could not be computed, or it has just become another one.
    """
    reader = OwnReader(context)
    choice = choose(reader, reader.search(search_id), number, of_folds=of_folds)
    committees = [_files(context, one, is_named=number is not None) for one in choice.trials]
    words = words_for(search_id, choice)
    sentence = f"{words[:1].upper()}{words[1:]}."
    return ChosenFiles(search=search_id, words=sentence, committees=committees, adjustments=choice.adjustments)


def _files(context: Context, weighed: WeighedTrial, *, is_named: bool) -> CommitteeFiles:
    found, folder = weighed.trial, checkpoint_folder(context.settings, weighed.holder.id).absolute()
    if not found.checkpoints and not is_named and found.rank != 1:
        # while a search goes on its ensemble may be some seconds old, and better trials have taken a member's place
        raise Unavailable(f"The ensemble of {weighed.holder.id} has just changed; send it again in a moment.")
    paths = [folder / name for name in kept_checkpoints(weighed)]
    return CommitteeFiles(trial=found.trial, weight=weighed.weight, checkpoints=paths)
