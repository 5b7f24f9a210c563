"""The user guide; `python -m docs.make` writes the pages that come from the code."""
