"""Functions on arrays that become machine code.

A kernel is declared with the kinds of its arguments, is called like a function and gives an int.
For each set of its *constants* it is compiled apart, so that loops of that length become vector
instructions, and what a constant rules out is left out. It must not allocate.
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
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ppcli.jit import cache as disk
from ppcli.version import __version__

logger = logging.getLogger("pixelprune")

_Helper = TypeVar("_Helper", bound=Callable[..., Any])
Constant = int | str
_Parameter = tuple[str, "np.dtype[Any] | None", int]  # its kind; of an array, type and dimensions

ARRAY, CONSTANT, INT, ANY = "array", "const", "int", "any"
_PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)
_ARRAY = re.compile(r"(\w+)\[([:,]+)\]")

_helpers: dict[str, list[Callable[..., Any]]] = {}


def helper(function: _Helper) -> _Helper:
    """A function that kernels of its file call; compiled as a part of them."""
    _helpers.setdefault(function.__module__, []).append(function)
    return function


def kernel(signature: str) -> Callable[[Callable[..., int]], "Kernel"]:
    """Make a kernel of a function; all that it calls lies in the same file.

    Args:
        signature: the kinds of the arguments, with blanks between: `uint8[:,:]` for a contiguous
            array (`any[:,:]` for one of any type), `int`, or `const` for an int that is
            compiled in.
    """
    return lambda function: Kernel(function, signature)


@dataclass(frozen=True, slots=True)
class Variant:
    """A kernel with its constants, in the order of its arguments; the types of `any` are some."""

    kernel: "Kernel"
    constants: tuple[Constant, ...]

    @property
    def name(self) -> str:
        """Of the symbol, and of the file that keeps it: it tells all that the code depends on."""
        function = self.kernel.function
        digest = hashlib.blake2b(_surroundings(function.__code__.co_filename), digest_size=8)
        module = function.__module__.rpartition(".")[2]
        parts = (module, function.__name__.strip("_"), *map(str, self.constants))
        return "-".join((*parts, digest.hexdigest()))

    def compile(self) -> bytes:
        """The code; kept on the disk where that can be."""
        from ppcli.jit.compiler import compile_kernel  # it brings Numba along

        function = self.kernel.function
        helpers = _helpers.get(function.__module__, [])
        code = compile_kernel(function, helpers, self.kernel.kinds(self.constants), self.name)
        disk.write(self.name, code)
        return code


class Kernel:
    """A function on arrays that becomes machine code when it is first called.

    Attributes:
        function: in Python.
        loaded: its machine code in this process, by constants.
    """

    _here: Callable[..., int] | None = None  # what is called where only Numba can call the code

    def __init__(self, function: Callable[..., int], signature: str) -> None:
        self.function = function
        self._parameters = tuple(_parameter(kind) for kind in signature.split())
        self.loaded: dict[tuple[Constant, ...], Callable[..., int]] = {}
        self._lock = threading.Lock()

    def of(self, *constants: Constant) -> Variant:
        """The kernel with these constants; types of `any` arrays are named, like "uint64"."""
        return Variant(self, constants)

    def kinds(self, constants: tuple[Constant, ...]) -> list[tuple[str, Any]]:
        """What each argument is to the compiler."""
        left = list(constants)
        kinds: list[tuple[str, Any]] = []
        for kind, dtype, dimensions in self._parameters:
            if kind == ARRAY:
                kinds.append((ARRAY, (left.pop(0) if dtype is None else dtype.name, dimensions)))
            else:
                kinds.append((kind, left.pop(0) if kind == CONSTANT else None))
        return kinds

    def load(
        self, constants: tuple[Constant, ...], code: bytes | None = None
    ) -> Callable[..., int]:
        """The machine code as a function of ctypes; compiled where the disk has none."""
        with self._lock:
            if constants not in self.loaded:
                from ppcli.jit.machine import load

                variant = Variant(self, constants)
                code = code or disk.read(variant.name) or self._compile(variant)
                self.loaded[constants] = (
                    _PROTOTYPE(load(variant.name, code)) if code else self._through_numba()
                )
            return self.loaded[constants]

    def _compile(self, variant: Variant) -> bytes | None:
        """None where only Numba can call what it makes."""
        from ppcli.jit.compiler import OtherConventionError

        try:
            return variant.compile()
        except OtherConventionError as error:
            logger.debug("%s", error)
            _warn_of_release()
            return None

    def _through_numba(self) -> Callable[..., int]:
        from ppcli.jit.compiler import compile_here

        if self._here is None:
            helpers = _helpers.get(self.function.__module__, [])
            self._here = compile_here(self.function, helpers)
        return self._here

    def __call__(self, *arguments: Any) -> int:  # noqa: ANN401
        """Run it. Arrays must be contiguous, of the declared type and number of dimensions."""
        constants: list[Constant] = []
        flat: list[int] = [0, 0]  # where the result and an exception go: the last two words
        for (kind, dtype, dimensions), value in zip(self._parameters, arguments, strict=True):
            if kind == ARRAY:
                if dtype is None:
                    constants.append(value.dtype.name)
                flat += _parts(dtype, dimensions, value)
                continue
            flat.append(int(value))
            if kind == CONSTANT:
                constants.append(int(value))
        key = tuple(constants)
        code = self.loaded.get(key) or self.load(key)
        if code is self._here:
            return code(*arguments)
        words = array("q", (*flat, 0, 0))
        place = words.buffer_info()[0]
        words[0], words[1] = place + 8 * len(flat), place + 8 * len(flat) + 8
        status = code(place)
        if status != 0:
            raise IndexError(f"{self.function.__qualname__} failed with status {status}")
        return words[-2]


def _parameter(declared: str) -> _Parameter:
    found = _ARRAY.fullmatch(declared)
    if found is None:
        return declared, None, 0
    return ARRAY, None if found[1] == ANY else np.dtype(found[1]), found[2].count(":")


def _parts(dtype: "np.dtype[Any] | None", dimensions: int, given: NDArray[Any]) -> tuple[int, ...]:
    """An array as Numba passes it: owner, parent, items, bytes of one, data, shape and strides."""
    flags = given.flags
    if not (flags.c_contiguous and flags.aligned and given.ndim == dimensions) or (
        dtype is not None and given.dtype != dtype
    ):
        wanted = f"{dtype or 'of any type'}, with {dimensions} dimensions"
        raise TypeError(f"a kernel takes a contiguous array, {wanted}; this is {given!r:.100}")
    data = given.__array_interface__["data"][0]
    return (0, 0, given.size, given.itemsize, data, *given.shape, *given.strides)


def prepare(variants: Iterable[Variant]) -> None:
    """Load kernels, and compile those that the disk lacks.

    Several processes share the work: each looks before it compiles whether another one has, and
    begins elsewhere.
    """
    lacking = []
    for variant in variants:
        code = disk.read(variant.name)
        if code is None:
            lacking.append(variant)
        else:
            variant.kernel.load(variant.constants, code)
    if lacking:
        logger.info("compiling kernels, once")
    random.shuffle(lacking)
    for variant in lacking:
        variant.kernel.load(variant.constants)


@cache
def _warn_of_release() -> None:
    """Once a process."""
    logger.warning(
        "this release of Numba makes kernels that cannot be kept, so that every process compiles "
        "its own; another release spares the time"
    )


@cache
def _surroundings(source: str) -> bytes:
    """All that machine code depends on, beside its constants."""
    from ppcli.jit.machine import processor

    settings = {name: os.environ[name] for name in sorted(os.environ) if name.startswith("NUMBA_")}
    settings.pop("NUMBA_CACHE_DIR", None)
    compiler = _content(os.path.join(os.path.dirname(__file__), "compiler.py"))
    parts = (
        _content(source),
        compiler,
        _release("numba"),
        _release("llvmlite"),
        processor(),
        settings,
    )
    return repr(parts).encode()


def _release(package: str) -> bytes:
    """Which release is installed, without the import of it or of importlib.metadata."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return b""
    return _content(os.path.join(os.path.dirname(spec.origin), "_version.py"))


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # a package without its sources
        return __version__.encode()
