"""The user guide, and the commands that write the pages and drawings which come from the code.

May import everything of Foldstep, and the browser of the tests. Nothing of the product imports it.
"""
