"""Kernels: functions on arrays that Numba compiles once, and that later runs load from a cache."""
