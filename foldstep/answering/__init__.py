"""The child process in which a master works with a search's networks: it predicts rows, and says which columns matter.

The master may import neither the worker, which has the networks' preprocessing, nor this package: whoever starts a
master tells it the name of this one. No database and no HTTP enters here.
"""
