"""Qwen3-VL: a vision transformer with DeepStack features, and a Qwen3 decoder with M-RoPE."""
