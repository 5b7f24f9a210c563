"""The checks before a search: does what the search is about to train behave as training should?"""
