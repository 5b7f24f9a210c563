"""Find the networks that a user names to predict with: files, or those of all folds of a search's trial."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from foldstep.client import Foldstep
from foldstep.connect import connect
from foldstep.local import local_master
from foldstep.options import no_file
from foldstep.service.contract.calibration import NOTHING, Adjustments
from foldstep.service.contract.choice import Choice, WeighedTrial, choose, kept_checkpoints, words_for
from foldstep.service.contract.errors import InvalidInput, NotFound, Unavailable
from foldstep.service.contract.leaderboard import SearchView, TrialView

_ENDINGS = (".safetensors", ".foldstep")


def as_files(models: Sequence[str]) -> list[Path] | None:
    """Read the words before the file as files of checkpoints or a model; None where they are the one name of a search.

    Raises:
        InvalidInput: a file is missing.
    """
    missing = [model for model in models if not Path(model).is_file()]
    if not missing:
        return [Path(model) for model in models]
    if len(models) == 1 and not models[0].endswith(_ENDINGS):
        if Path(models[0]).suffix.startswith((".safe", ".folds")):  # an ending cut short, not the name of a search
            raise no_file(Path(models[0]))
        return None
    raise InvalidInput(
        f"There is no checkpoint file {missing[0]}. Name checkpoint files, a model file, or one search by its name or "
        "id, "
        "and the table last."
    )


@contextmanager
def master_of(
    url: str | None, token: str | None, data_dir: Path, data_roots: Sequence[Path] = ()
) -> Iterator[Foldstep]:
    """Connect to the master that the options name; where none serves the data folder, one does until the block ends.

    After `foldstep run` the folder is there and its master is not.

    Args:
        url: address of the master; None for that of the data folder.
        token: the master's token; None to find it.
        data_dir: the master's folder.
        data_roots: folders that a master which is started here may read data files from.

    Raises:
        Unavailable: the master cannot be reached, and there is no data folder.
    """
    with ExitStack() as stack:
        try:
            master = connect(url, token, data_dir)
            master.connection.request("GET", "/searches", params={"limit": 1})
        except Unavailable:
            if url or os.environ.get("FOLDSTEP_URL") or not (data_dir / "token").is_file():
                raise
            master = stack.enter_context(local_master(data_dir, data_roots))
        yield master


@dataclass(frozen=True)
class Committee:
    """The checkpoints of one trial, whose networks predict by their mean, with its weight in an ensemble.

    Attributes:
        weight: above 0; what counts is its share of the sum of all weights.
        checkpoints: the files, one a network.
        trial: its number; None where nobody knows.
        search: the search that has the trial; None where nobody knows.
    """

    weight: float
    checkpoints: Sequence[Path]
    trial: int | None = None
    search: str | None = None


@dataclass(frozen=True)
class Chosen:
    """The networks with which a search predicts.

    Attributes:
        search: the search.
        committees: its trials with their weights; the files may be gone when the block of `search_committees` ends.
        words: which they are, for users, without a capital and a full stop.
        trials: the trials, in the order of the committees.
        adjustments: what is done with the mean of what they say; nothing where one trial was named.
        refit: the search that trained the networks again; None where they are those of the folds.
    """

    search: SearchView
    committees: Sequence[Committee]
    words: str
    trials: Sequence[TrialView]
    adjustments: Adjustments = NOTHING
    refit: str | None = None

    @property
    def sentence(self) -> str:
        """Which networks they are, as a sentence."""
        return f"{self.words[:1].upper()}{self.words[1:]}."


@contextmanager
def search_committees(master: Foldstep, search: str, number: int | None = None) -> Iterator[Chosen]:
    """Yield the committees with which a search predicts, see `choose`.

    Args:
        master: the search's.
        search: its id or name.
        number: of another trial, which then predicts alone.

    Raises:
        NotFound: there is no such search or trial.
        InvalidInput: it has no checkpoints.
    """
    view = _search(master, search)
    with chosen_committees(master, view, choose(master, view, number)) as chosen:
        yield chosen


@contextmanager
def chosen_committees(master: Foldstep, search: SearchView, choice: Choice) -> Iterator[Chosen]:
    """Yield the committees of trials of a search that predict together.

    Raises:
        InvalidInput: a trial has no checkpoints.
    """
    with TemporaryDirectory(prefix="foldstep-") as folder:
        committees = [_committee(master, one, Path(folder)) for one in choice.trials]
        trials = [one.trial for one in choice.trials]
        refit = None if choice.refit is None else choice.refit.id
        yield Chosen(search, committees, words_for(search.id, choice), trials, choice.adjustments, refit)


def _committee(master: Foldstep, weighed: WeighedTrial, folder: Path) -> Committee:
    holder = weighed.holder
    local = Path(holder.checkpoint_dir)
    files = [_file(master, holder.id, local, name, folder) for name in kept_checkpoints(weighed)]
    return Committee(weighed.weight, files, weighed.trial.trial, holder.id)


def _search(master: Foldstep, search: str) -> SearchView:
    try:
        return master.search(search)
    except NotFound as error:
        if Path(search).is_dir():
            raise InvalidInput(f"{search} is a folder and no search: name the checkpoint files in it.") from None
        raise NotFound(f"{search} is no checkpoint file, and no search: {error.message}") from None


def _file(master: Foldstep, search: str, local: Path, name: str, folder: Path) -> Path:
    """Find a checkpoint in the master's own folder, where the master is on this machine, or download it."""
    if (local / name).is_file():
        return local / name
    path = folder / name
    path.write_bytes(master.checkpoint(search, name))
    return path
