"""The eager backend: packed networks in PyTorch, operation by operation, on every device and for every hyperparameter.

`packed.py` has the passes, `optim.py` the updates, `losses.py` the losses; it is the oracle of the other two backends.
May import torch and the shared part of `models`; neither of the other backends, nor anything outside of `models`.
"""
