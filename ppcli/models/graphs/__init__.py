"""Writes ONNX graphs operator by operator, with their weights in a file beside them."""
