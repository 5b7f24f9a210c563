"""Foldstep: hyperparameter search for feed-forward networks on tabular data."""
