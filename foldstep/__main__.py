"""`python -m foldstep` is the command `foldstep`."""

from foldstep.cli import main

main()
