"""Hold the tables of knowledge: one entry for each name a user can write, with every property the code asks about.

Everybody may import them; they import the standard library alone, so that the master, which has no torch, reads them.
What a name stands for is implemented elsewhere, and a name without that is refused there: nothing here touches data.
"""
