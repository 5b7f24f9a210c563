"""Alembic scripts, a package, so that a wheel can upgrade a database."""

if __name__ != "foldstep.migrations":  # from the repository's root the folder could be imported under a second name
    raise ImportError("this folder is the package foldstep.migrations: import it by that name")
