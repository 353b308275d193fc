"""From a checkpoint to ONNX graphs, and the sessions that run them."""
