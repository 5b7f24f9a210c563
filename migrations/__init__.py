"""The scripts that upgrade a database, as a package, so that a wheel can upgrade one too.

May import Alembic, SQLAlchemy, `service.db` for the tables and `service.settings` for the address. No rule of a search
and no data of a user enters here.
"""

if __name__ != "foldstep.migrations":  # from the repository's root the folder could be imported under a second name
    raise ImportError("this folder is the package foldstep.migrations: import it by that name")
