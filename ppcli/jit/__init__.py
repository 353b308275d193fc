"""Kernels: functions on arrays that Numba compiles once, and later runs load without Numba."""
