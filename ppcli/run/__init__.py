"""The moving parts: inputs through the coder into the store, progress, the summary."""
