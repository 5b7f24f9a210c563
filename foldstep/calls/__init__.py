"""The calls of the Python client, by what they are about; `foldstep.client` has them together."""
