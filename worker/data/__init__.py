"""A table on the worker: load the canonical file, split it into folds, preprocess each fold on its training part.

May import `service.contract`, the torch-free tables of `models`, numpy, scipy, pyarrow and scikit-learn. Torch,
networks and trials must not enter here: what a fold is does not depend on what trains on it.
"""
