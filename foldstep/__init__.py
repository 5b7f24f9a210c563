"""Foldstep: hyperparameter search for feed-forward networks on tabular data; trials and folds train in lockstep.

The command line, the Python client and what runs a search on one machine live here; below are the packages `models`,
`service`, `worker` and `migrations`. May import all of them, torch and the worker only inside of functions. No rule of
a search and no arithmetic enters here.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foldstep.client import Foldstep
    from foldstep.downloads import download_model
    from foldstep.estimators import FoldstepClassifier, FoldstepRegressor
    from foldstep.loaded import Model, PredictionWarning, load
    from foldstep.search_here import search
    from foldstep.search_result import SearchResult
    from foldstep.service.contract.version import __version__
    from foldstep.warm_start import warm_start_from
else:
    # Every Foldstep process imports this package first, and few of them need the client: it takes 0.2 s to import.
    _HOMES = {
        "Foldstep": "foldstep.client",
        "FoldstepClassifier": "foldstep.estimators",
        "FoldstepRegressor": "foldstep.estimators",
        "Model": "foldstep.loaded",
        "PredictionWarning": "foldstep.loaded",
        "SearchResult": "foldstep.search_result",
        "download_model": "foldstep.downloads",
        "load": "foldstep.loaded",
        "search": "foldstep.search_here",
        "__version__": "foldstep.service.contract.version",
        "warm_start_from": "foldstep.warm_start",
    }

    def __getattr__(name: str) -> object:
        """Import a public name when it is first asked for."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return found


__all__ = [
    "Foldstep",
    "FoldstepClassifier",
    "FoldstepRegressor",
    "Model",
    "PredictionWarning",
    "SearchResult",
    "__version__",
    "download_model",
    "load",
    "search",
    "warm_start_from",
]
