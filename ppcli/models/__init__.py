"""Vision-language models: from a checkpoint to answers about pruned images."""
