"""The master: contract, planner, database, use cases, HTTP and the page.

May import the torch-free tables of `models`, nothing else of Foldstep. Torch, training and the worker must not enter:
the master stays small, and what needs much memory runs in a child process.
"""

if __name__ != "foldstep.service":  # from the repository's root the folder could be imported under a second name
    raise ImportError("this folder is the package foldstep.service: import it by that name")
