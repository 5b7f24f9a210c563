"""Hold the tables of knowledge: one row for each name that a user can write, with every property that code asks about.

Code reads the properties of a row and never asks for its name. What a name stands for is implemented elsewhere, and a
name without that is refused there: nothing here touches data. May import the standard library alone, so that the
master, which has no torch, reads the tables, too.
"""
