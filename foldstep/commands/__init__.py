"""The commands, one module a group; each module's functions are registered in `foldstep/cli.py`."""
