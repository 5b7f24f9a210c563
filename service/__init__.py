"""The master: contract, planner, database, use cases, HTTP."""

if __name__ != "foldstep.service":  # from the repository's root the folder could be imported under a second name
    raise ImportError("this folder is the package foldstep.service: import it by that name")
