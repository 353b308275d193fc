"""Raster → PatchSet: the predictive coder and the methods it is compared with."""
