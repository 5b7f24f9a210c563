"""Foldstep: hyperparameter search for feed-forward networks on tabular data; trials and folds train in lockstep.

The command line, the Python client and what runs a search on one machine live here; below are the packages `models`,
`service`, `worker` and `migrations`. May import all of them, torch and the worker only inside of functions. No rule of
a search and no arithmetic enters here.
"""

from foldstep.client import Foldstep

__all__ = ["Foldstep"]
