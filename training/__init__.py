"""What pixelprune's own small model is trained on, and how."""
