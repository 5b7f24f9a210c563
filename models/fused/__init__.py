"""Steps of narrow networks in one GPU kernel: a member's weights and moments stay on the chip from step to step.

`kernel.py` is the arithmetic, `members.py` what it is told of each member, `launch.py` how it is called.
"""
