"""The training step as a small C++ library, built on demand, that takes one member after the other.

`models.packed` computes a step for all members at once, operation by operation; this library computes all steps of an
epoch for one member, then for the next. A member's weights and moments stay in the cache, nothing is padded to its
neighbours' sizes, and the interpreter is called once an epoch. `models.packed` is its fallback and, with plain PyTorch,
its oracle.
"""
