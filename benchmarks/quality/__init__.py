"""Test errors of searches against other ways to learn from a table; `README.md` says how to run it.

It uses Foldstep as users do, through its commands. The other sides run in a process of their own (`rivals.py`), whose
Python may have packages that the product has not. May import everything of Foldstep that is torch-free, and the shared
parts of `benchmarks`. Must not enter: the packages of the other sides, and any path of a data folder.
"""
