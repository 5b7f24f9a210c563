"""Part of the worker."""
