"""Patch sets and prompts to answers: export, positions, sessions, generation."""
