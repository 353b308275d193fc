"""Thin commands: options in, one call into the library, exit code out."""
