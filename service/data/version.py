"""The version of the reader, by which the master knows what it read before."""

READER_VERSION = 1
"""To be raised with every change after which the same file with the same options is read otherwise."""
