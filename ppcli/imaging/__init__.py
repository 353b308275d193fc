"""Bytes → fitted RGB raster: decoding, orientation, colour, and the way onto the tile grid."""
