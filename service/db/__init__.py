"""All SQL: the tables, one module of statements for each of them, and the upgrade of the schema at the start.

May import `contract`, the torch-free tables of `models`, SQLAlchemy and Alembic. No rule of a search enters here: a
statement moves a state only if it is still what the caller read, and raises otherwise.
"""
