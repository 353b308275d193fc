"""Model directories: exported from a checkpoint, opened, checked, and loaded into onnxruntime."""
