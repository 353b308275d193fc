"""Training data and training of pixelprune's small model."""
