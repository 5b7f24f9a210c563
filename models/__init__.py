"""The networks and their mathematics; depends on torch and numpy, on nothing else of the project."""
