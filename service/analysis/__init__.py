"""What the trials of a search say about its hyperparameters: importance, effects and comparisons.

May import `contract`, `planner`, `child`, the torch-free tables of `models`, numpy and scikit-learn; the forest runs
in a child process. No database and no HTTP enter: all functions are pure.
"""
