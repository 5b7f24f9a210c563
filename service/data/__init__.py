"""The master's side of data: read a table, keep its canonical file, check a spec against it.

May import `contract`, `child`, `settings`, the torch-free tables of `models`, pyarrow and scikit-learn. No database and
no HTTP enter. A user's file is opened in a child process alone.
"""
