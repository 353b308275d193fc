"""Qwen2.5-VL: a vision transformer with window attention, and a Qwen2.5 decoder with M-RoPE."""
