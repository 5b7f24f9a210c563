"""One script for each change of the schema, the oldest first; a script that was released is never changed.

May import Alembic and SQLAlchemy, nothing of Foldstep: a script describes the tables of its own time.
"""
