"""Kernels of the coder in a process in which a CPU worker of vLLM may start later."""

from collections.abc import Iterable
from contextlib import suppress

from ppcli.jit.kernel import Variant, prepare


def load_kernels(variants: Iterable[Variant]) -> None:
    """Load kernels from the cache, and compile the missing ones."""
    _give_attributes()
    prepare(variants)


def _give_attributes() -> None:
    """Let vLLM's CPU worker start where llvmlite, or Numba, has been imported.

    The worker asks every object of every module for its `__dict__`. llvmlite's library takes any
    name for that of a C function, and what it answers is no dictionary: the worker fails.
    """
    with suppress(ImportError, AttributeError):
        from llvmlite.binding import ffi

        ffi.lib._fntab.setdefault("__dict__", {})
