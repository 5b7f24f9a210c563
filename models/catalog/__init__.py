"""The tables of knowledge: one entry for each optimizer, activation, loss, schedule, normalisation and metric.

Code reads the properties of an entry and never asks for its name; what a backend computes for it stands in the backend.
May import the standard library alone, so that master, worker and command line may import it; no torch, no numpy.
"""
