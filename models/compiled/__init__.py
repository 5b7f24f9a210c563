"""The compiled backend: the training step as a small C++ library, built on demand, one member after the other.

`models.eager` computes a step for all members at once, operation by operation; this library computes all steps of an
epoch for one member, then for the next. A member's weights and moments stay in the cache, nothing is padded to its
neighbours' sizes, and the interpreter is called once an epoch. `models.eager` is its fallback and, with plain PyTorch,
its oracle. May import the shared part of `models`; neither of the other backends, nor anything outside of `models`.
"""
