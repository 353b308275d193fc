"""Finds the inputs: which files are read, in which order, under which identity."""
