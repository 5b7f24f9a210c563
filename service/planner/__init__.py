"""The search methods: spec, history and seed in, trials out; narrowing, borders and rungs.

May import `contract`, `child`, the torch-free tables of `models`, numpy and scipy; optuna, cmaes and scikit-learn only
in its own child process. No database and no clock enter; the same history gives the same trials.
"""
