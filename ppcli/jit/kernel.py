"""Functions on arrays that are compiled to machine code.

A kernel is declared with a signature, called like a function and returns an int. It is compiled
once for each combination of its *constants*, so that loops of constant length become vector
instructions and branches on a constant disappear. A kernel must not allocate memory.
"""

import ctypes
import hashlib
import logging
import os
import random
import re
import threading
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from types import FunctionType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ppcli.jit import cache as disk
from ppcli.version import __version__

logger = logging.getLogger("pixelprune")

_Helper = TypeVar("_Helper", bound=Callable[..., Any])
Constant = int | str
_Parameter = tuple[str, "np.dtype[Any] | None", int]  # kind, and an array's dtype and dimensions

ARRAY, CONSTANT, INT, ANY = "array", "const", "int", "any"
_PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)
_ARRAY = re.compile(r"(\w+)\[([:,]+)\]")

_IS_HELPER = "is_jit_helper"


def helper(function: _Helper) -> _Helper:
    """Mark a function that kernels and other helpers call."""
    setattr(function, _IS_HELPER, True)
    return function


def helpers_of(function: Callable[..., Any]) -> dict[str, FunctionType]:
    """Return the helpers among the globals of a function, by the names that they have there."""
    return {
        name: value
        for name, value in function.__globals__.items()
        if isinstance(value, FunctionType) and hasattr(value, _IS_HELPER)
    }


def kernel(signature: str) -> Callable[[Callable[..., int]], "Kernel"]:
    """Declare a kernel.

    Args:
        signature: the kinds of the arguments, separated by blanks: `uint8[:,:]` for a contiguous
            array (`any[:,:]` for any dtype), `int`, or `const` for an int that is a constant of
            the compiled code.
    """
    return lambda function: Kernel(function, signature)


@dataclass(frozen=True, slots=True)
class Variant:
    """A kernel for one combination of constants.

    Attributes:
        kernel: the kernel.
        constants: values of `const` and dtypes of `any` arguments, in the order of the arguments.
    """

    kernel: "Kernel"
    constants: tuple[Constant, ...]

    @property
    def name(self) -> str:
        """Name of the symbol and of the cache file; unique for all that the code depends on."""
        function = self.kernel.function
        digest = hashlib.blake2b(_build_inputs(function), digest_size=8)
        module = function.__module__.rpartition(".")[2]
        parts = (module, function.__name__.strip("_"), *map(str, self.constants))
        return "-".join((*parts, digest.hexdigest()))

    def compile(self) -> bytes:
        """Compile the kernel, store the code in the cache and return it."""
        from ppcli.jit.compiler import compile_kernel  # imports Numba

        kinds = self.kernel.kinds(self.constants)
        code = compile_kernel(self.kernel.function, kinds, self.name)
        disk.write(self.name, code)
        return code


class Kernel:
    """A function on arrays that is compiled, or loaded from the cache, at its first call.

    Attributes:
        function: the Python function.
        loaded: the machine code loaded into this process, by constants.
    """

    _numba_function: Callable[..., int] | None = None  # for unsupported releases of Numba

    def __init__(self, function: Callable[..., int], signature: str) -> None:
        self.function = function
        self._parameters = tuple(_parameter(kind) for kind in signature.split())
        self.loaded: dict[tuple[Constant, ...], Callable[..., int]] = {}
        self._lock = threading.Lock()

    def of(self, *constants: Constant) -> Variant:
        """Return the variant with these constants; dtypes are names such as "uint64"."""
        return Variant(self, constants)

    def kinds(self, constants: tuple[Constant, ...]) -> list[tuple[str, Any]]:
        """Return the kinds of the arguments as `compiler.compile_kernel` takes them."""
        remaining = iter(constants)
        kinds: list[tuple[str, Any]] = []
        for kind, dtype, dimensions in self._parameters:
            if kind == ARRAY:
                kinds.append(
                    (ARRAY, (next(remaining) if dtype is None else dtype.name, dimensions))
                )
            else:
                kinds.append((kind, next(remaining) if kind == CONSTANT else None))
        return kinds

    def load(
        self, constants: tuple[Constant, ...], code: bytes | None = None
    ) -> Callable[..., int]:
        """Load the machine code, from the cache if possible, and return it as a function."""
        with self._lock:
            if constants not in self.loaded:
                from ppcli.jit.machine import load

                variant = Variant(self, constants)
                code = code or disk.read(variant.name) or self._compile(variant)
                self.loaded[constants] = (
                    _PROTOTYPE(load(variant.name, code)) if code else self._call_through_numba()
                )
            return self.loaded[constants]

    def _compile(self, variant: Variant) -> bytes | None:
        """Compile the variant; return None if only Numba can call the code."""
        from ppcli.jit.compiler import UnsupportedNumbaError

        try:
            return variant.compile()
        except UnsupportedNumbaError as error:
            logger.debug("%s", error)
            _warn_of_release()
            return None

    def _call_through_numba(self) -> Callable[..., int]:
        from ppcli.jit.compiler import compile_in_process

        if self._numba_function is None:
            self._numba_function = compile_in_process(self.function)
        return self._numba_function

    def __call__(self, *arguments: Any) -> int:  # noqa: ANN401
        """Run the kernel.

        Raises:
            TypeError: an array is not contiguous, or not of the declared dtype and dimensions.
            IndexError: the kernel failed a bounds check (NUMBA_BOUNDSCHECK=1).
        """
        constants: list[Constant] = []
        flat: list[int] = [0, 0]  # pointers to result and exception, the last two words
        for (kind, dtype, dimensions), value in zip(self._parameters, arguments, strict=True):
            if kind == ARRAY:
                if dtype is None:
                    constants.append(value.dtype.name)
                flat += _array_words(dtype, dimensions, value)
                continue
            flat.append(int(value))
            if kind == CONSTANT:
                constants.append(int(value))
        key = tuple(constants)
        code = self.loaded.get(key) or self.load(key)
        if code is self._numba_function:
            return code(*arguments)
        words = array("q", (*flat, 0, 0))
        address = words.buffer_info()[0]
        words[0], words[1] = address + 8 * len(flat), address + 8 * len(flat) + 8
        status = code(address)
        if status != 0:
            raise IndexError(f"{self.function.__qualname__} failed with status {status}")
        return words[-2]


def _parameter(declared: str) -> _Parameter:
    found = _ARRAY.fullmatch(declared)
    if found is None:
        return declared, None, 0
    return ARRAY, None if found[1] == ANY else np.dtype(found[1]), found[2].count(":")


def _array_words(
    dtype: "np.dtype[Any] | None", dimensions: int, value: NDArray[Any]
) -> tuple[int, ...]:
    """Return owner, parent, number of items, bytes per item, data, shape and strides."""
    flags = value.flags
    if not (flags.c_contiguous and flags.aligned and value.ndim == dimensions) or (
        dtype is not None and value.dtype != dtype
    ):
        expected = f"{dtype or 'any dtype'} with {dimensions} dimensions"
        raise TypeError(f"expected a contiguous array, {expected}; got {value!r:.100}")
    data = value.__array_interface__["data"][0]
    return (0, 0, value.size, value.itemsize, data, *value.shape, *value.strides)


def prepare(variants: Iterable[Variant]) -> None:
    """Load kernels from the cache, and compile the missing ones.

    Processes that do this at the same time share the work: they compile in random order, and
    check the cache before each kernel.
    """
    missing = []
    for variant in variants:
        code = disk.read(variant.name)
        if code is None:
            missing.append(variant)
        else:
            variant.kernel.load(variant.constants, code)
    if missing:
        logger.info("compiling kernels (first run only)")
    random.shuffle(missing)
    for variant in missing:
        variant.kernel.load(variant.constants)


@cache
def _warn_of_release() -> None:
    """Warn once per process."""
    logger.warning(
        "kernels cannot be cached with this release of Numba, so every process compiles its own; "
        "install another release of numba to avoid that"
    )


@cache
def _build_inputs(function: Callable[..., int]) -> bytes:
    """Return all that machine code depends on, apart from its constants."""
    from ppcli.jit.machine import processor

    settings = {name: os.environ[name] for name in sorted(os.environ) if name.startswith("NUMBA_")}
    settings.pop("NUMBA_CACHE_DIR", None)
    compiler = _content(os.path.join(os.path.dirname(__file__), "compiler.py"))
    parts = (
        [_content(source) for source in _sources(function)],
        compiler,
        _release("numba"),
        _release("llvmlite"),
        processor(),
        settings,
    )
    return repr(parts).encode()


def _sources(function: Callable[..., Any]) -> list[str]:
    """Return the files of a function and of the helpers that it can call, in order."""
    found: dict[str, None] = {}
    waiting = [function]
    while waiting:
        one = waiting.pop()
        if one.__code__.co_filename not in found:
            found[one.__code__.co_filename] = None
            waiting += helpers_of(one).values()
    return sorted(found)


def _release(package: str) -> bytes:
    """Return what identifies the installed release, without importing the package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return b""
    return _content(os.path.join(os.path.dirname(spec.origin), "_version.py"))


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # installed without sources
        return __version__.encode()
