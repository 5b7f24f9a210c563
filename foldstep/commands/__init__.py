"""The commands of the command line: one module for each group, one function for each command.

May import everything of Foldstep; what is slow to import (torch, the master, the worker) only inside of functions.
No logic enters here: a command reads its options, calls one other part and prints the answer.
"""
