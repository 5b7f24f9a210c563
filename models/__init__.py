"""The networks and their mathematics; depends on torch and numpy, on nothing else of the project."""

if __name__ != "foldstep.models":  # from the repository's root the folder could be imported under a second name
    raise ImportError("this folder is the package foldstep.models: import it by that name")
