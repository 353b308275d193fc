"""Qwen3.5, Qwen3.6 and Qwen3.8, dense."""
