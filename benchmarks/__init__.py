"""Measurements, each of both sides in one run, whose results are checked against each other.

May import everything of Foldstep, the oracle of the tests, and the libraries it is compared with. Nothing of the
product imports it.
"""
