"""Checkpoint folders in the layout of Hugging Face: weights, settings, and what export refuses."""
