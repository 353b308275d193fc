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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np

from ppcli.jit import cache as disk
from ppcli.version import __version__

logger = logging.getLogger("pixelprune")

_Helper = TypeVar("_Helper", bound=Callable[..., Any])
Constant = int | str

CONSTANT, INT, ANY = "const", "int", "any"
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

    def __init__(self, function: Callable[..., int], signature: str) -> None:
        self.function = function
        self._kinds = signature.split()
        self.loaded: dict[tuple[Constant, ...], Callable[..., int]] = {}
        self._lock = threading.Lock()

    def of(self, *constants: Constant) -> Variant:
        """The kernel with these constants; types of `any` arrays are named, like "uint64"."""
        return Variant(self, constants)

    def kinds(self, constants: tuple[Constant, ...]) -> list[tuple[str, Any]]:
        """What each argument is to the compiler."""
        left = list(constants)
        kinds: list[tuple[str, Any]] = []
        for kind in self._kinds:
            if array := _ARRAY.fullmatch(kind):
                dtype = left.pop(0) if array[1] == ANY else array[1]
                kinds.append(("array", (dtype, array[2].count(":"))))
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
                code = code or disk.read(variant.name) or variant.compile()
                prototype = ctypes.CFUNCTYPE(ctypes.c_int32, *self._argument_types(constants))
                self.loaded[constants] = prototype(load(variant.name, code))
            return self.loaded[constants]

    def _argument_types(self, constants: tuple[Constant, ...]) -> list[Any]:
        number, pointer = ctypes.c_int64, ctypes.c_void_p
        found: list[Any] = [pointer, pointer]
        for kind, what in self.kinds(constants):
            if kind == "array":
                found += [pointer, pointer, number, number, pointer, *[number] * 2 * what[1]]
            else:
                found.append(number)
        return found

    def __call__(self, *arguments: Any) -> int:  # noqa: ANN401
        """Run it. Arrays must be contiguous, of the declared type and number of dimensions."""
        constants: list[Constant] = []
        flat: list[int | None] = []
        for kind, value in zip(self._kinds, arguments, strict=True):
            if kind in (CONSTANT, INT):
                flat.append(int(value))
                if kind == CONSTANT:
                    constants.append(int(value))
            else:
                if kind.startswith(ANY):
                    constants.append(value.dtype.name)
                flat += _parts(kind, value)
        key = tuple(constants)
        code = self.loaded.get(key) or self.load(key)
        result, fault = ctypes.c_int64(), ctypes.c_void_p()
        status = code(ctypes.addressof(result), ctypes.addressof(fault), *flat)
        if status != 0:
            raise IndexError(f"{self.function.__qualname__} failed with status {status}")
        return result.value


def _parts(kind: str, array: Any) -> list[int | None]:  # noqa: ANN401
    """An array as Numba passes it: owner, parent, items, bytes of one, data, shape and strides."""
    declared = _ARRAY.fullmatch(kind)
    if (
        declared is None
        or not isinstance(array, np.ndarray)
        or not array.flags.c_contiguous
        or not array.flags.aligned
        or declared[1] not in (ANY, array.dtype.name)
        or declared[2].count(":") != array.ndim
    ):
        raise TypeError(f"a kernel takes a contiguous array {kind}, and this is {array!r:.100}")
    return [None, None, array.size, array.itemsize, array.ctypes.data, *array.shape, *array.strides]


def missing(variants: Iterable[Variant]) -> list[Variant]:
    """Those of which the disk has no code that is whole. A line is logged for damaged code."""
    return [variant for variant in variants if disk.read(variant.name) is None]


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
def _surroundings(source: str) -> bytes:
    """All that machine code depends on, beside its constants."""
    from ppcli.jit.machine import processor

    settings = {name: os.environ[name] for name in sorted(os.environ) if name.startswith("NUMBA_")}
    settings.pop("NUMBA_CACHE_DIR", None)
    parts = (_content(source), _release("numba"), _release("llvmlite"), processor(), settings)
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
