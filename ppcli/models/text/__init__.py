"""Chat templates, tokenizers, and the text of answers."""
