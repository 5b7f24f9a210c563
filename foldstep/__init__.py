"""Foldstep: hyperparameter search for feed-forward networks on tabular data, trials and folds in lockstep."""

from foldstep.client import Foldstep

__all__ = ["Foldstep"]
