"""Training batches for transformers. Nothing else of the package imports transformers or torch."""
