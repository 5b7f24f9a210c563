"""The fused backend: steps of narrow networks in one GPU kernel, weights and moments stay on the chip between steps.

`kernel.py` is the arithmetic, `members.py` what it is told of each member, `launch.py` how it is called.
May import the shared part of `models` and Triton; neither of the other backends, nor anything outside of `models`.
"""
