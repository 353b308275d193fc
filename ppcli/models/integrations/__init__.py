"""Pruned inputs for other libraries."""
