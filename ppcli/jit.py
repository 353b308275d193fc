"""Compiling kernels: Numba without the GIL, with a cache on disk that is never in the way."""

from collections.abc import Callable
from contextlib import suppress
from pickle import UnpicklingError
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


class _Cache(FunctionCache):
    """Numba's cache on disk, which is never a reason not to work."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:  # noqa: ANN401
        """Load compiled code; None where there is none, or none that can be read."""
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except (OSError, EOFError, UnpicklingError):
            return None

    def save_overload(self, sig: Any, data: Any) -> None:  # noqa: ANN401
        """Save compiled code, unless the disk is full or the folder is lost."""
        with suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]


def jit(kernel: _Kernel) -> _Kernel:
    """Compile without the GIL, cached on disk wherever some cache folder can be written.

    The cache notices changes file by file: kernels that call each other belong in one file.
    """
    compiled: _Kernel = numba.njit(kernel, nogil=True)
    with suppress(RuntimeError):  # Numba found no folder for its cache
        compiled._cache = _Cache(kernel)  # type: ignore[attr-defined, no-untyped-call]
    return compiled
