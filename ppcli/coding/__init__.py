"""Raster to patch set: the predictive coder, and the methods it is compared with."""
