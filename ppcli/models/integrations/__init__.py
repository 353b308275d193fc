"""Pruned inputs for other libraries, each library in a folder of its own.

What they share is `ppcli/models/kept_patches.py`. An integration uses neither the runtime of
pixelprune nor the library of another integration.
"""
