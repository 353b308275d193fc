"""Runs whose work is done on many machines, shard by shard."""
