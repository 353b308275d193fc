"""Paths → ImageRef: which files are tried, in which order, under which identity."""
