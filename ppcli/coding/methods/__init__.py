"""Pruning methods, one file each, and their registry.

These modules are imported for `--help`, so they import NumPy and the kernels inside functions.
"""
