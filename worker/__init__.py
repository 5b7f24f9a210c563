"""Part of the worker."""

if __name__ != "foldstep.worker":  # from the repository's root the folder could be imported under a second name
    raise ImportError("this folder is the package foldstep.worker: import it by that name")
