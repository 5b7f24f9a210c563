"""Alembic scripts, a package, so that a wheel can upgrade a database."""
