"""Compiles a Python function to an object file with Numba. Imported only to compile.

The function must not allocate, so that its code runs without Numba's runtime. The code follows
Numba's internal calling convention; a check detects releases of Numba with another one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import types

from ppcli.jit.kernel import helpers_of
from ppcli.jit.machine import target_machine

# The numpy error model omits the check for division by zero; kernels never divide by zero.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
_BARE = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_LIBRARY_CALLS = {"memcpy", "memset", "memmove", "ceil", "floor"}

_compiled_globals: dict[str, dict[str, Any]] = {}  # by module, with helpers as dispatchers


class UnsupportedNumbaError(Exception):
    """The code that this release of Numba generates cannot be called without it."""


def compile_kernel(
    function: Callable[..., Any], kinds: Sequence[tuple[str, Any]], name: str
) -> bytes:
    """Compile a function to an object file that exports the symbol `name`.

    The symbol takes one pointer to 64-bit words, the arguments of Numba's convention: pointers
    to the result and to an exception, then every argument. An array takes seven or more words:
    owner, parent, number of items, bytes per item, data, shape and strides. The status returned
    is 0 on success.

    Args:
        function: the function; it returns an int.
        kinds: for each argument ("array", (dtype, dimensions)), ("int", None) or
            ("const", value).
        name: the exported symbol.

    Returns:
        The bytes of the object file.

    Raises:
        UnsupportedNumbaError: the code cannot be called without Numba.
    """
    with _compiling():
        dispatcher = _jit(function, _OPTIONS | _BARE)
        dispatcher.compile(types.int64(*(_numba_type(*kind) for kind in kinds)))
    (text,) = dispatcher.inspect_llvm().values()
    module = llvm.parse_assembly(text)
    (entry,) = [
        one
        for one in module.functions
        if not one.is_declaration and one.linkage is llvm.Linkage.external
    ]
    entry.name = f"{name}.body"
    words = _words(kinds)
    _check_convention(module, entry, words)
    linked = llvm.parse_assembly(str(module) + _entry_point(name, entry.name, words))
    return bytes(target_machine().emit_object(linked))


def compile_in_process(function: Callable[..., int]) -> Callable[..., int]:
    """Compile a function for calls through Numba in this process; constants are plain ints."""
    with _compiling():
        dispatcher = _jit(function, _OPTIONS)

    def call(*arguments: Any) -> int:  # noqa: ANN401
        with _compiling():
            return int(dispatcher(*arguments))

    return call


@contextmanager
def _compiling() -> Iterator[None]:
    """Enable compilation even if NUMBA_DISABLE_JIT is set."""
    settings: Any = numba.config
    disabled, settings.DISABLE_JIT = settings.DISABLE_JIT, 0
    try:
        yield
    finally:
        settings.DISABLE_JIT = disabled


def _jit(function: Callable[..., Any], options: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return a Numba dispatcher for a function that calls helpers as dispatchers."""
    return _dispatcher(function, _namespace(function), options)


def _namespace(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the globals of a function, with dispatchers in place of helpers."""
    module = function.__module__
    if module in _compiled_globals:
        return _compiled_globals[module]
    namespace = _compiled_globals[module] = dict(function.__globals__)
    for name, helper in helpers_of(function).items():
        if helper.__module__ == module:
            namespace[name] = _dispatcher(helper, namespace, _OPTIONS | _BARE)
        else:
            namespace[name] = _namespace(helper)[helper.__name__]
    return namespace


def _dispatcher(
    function: Callable[..., Any], namespace: dict[str, Any], options: dict[str, Any]
) -> Any:  # noqa: ANN401
    return numba.njit(FunctionType(function.__code__, namespace, function.__name__), **options)


def _numba_type(kind: str, details: Any) -> types.Type:  # noqa: ANN401
    if kind == "array":
        dtype, dimensions = details
        return types.Array(numba.from_dtype(np.dtype(dtype)), dimensions, "C")
    return types.int64 if kind == "int" else types.literal(details)  # type: ignore[no-untyped-call]


def _words(kinds: Sequence[tuple[str, Any]]) -> list[str]:
    """Return the LLVM types of the argument words."""
    words = ["ptr", "ptr"]
    for kind, details in kinds:
        if kind == "array":
            words += ["ptr", "ptr", "i64", "i64", "ptr", *(["i64"] * 2 * details[1])]
        else:
            words.append("i64")
    return words


def _entry_point(name: str, body: str, words: list[str]) -> str:
    """Return LLVM IR of a function that loads the words and calls `body` with them."""
    lines = [f'define i32 @"{name}"(ptr %words) {{']
    for i, word in enumerate(words):
        lines.append(f"  %address{i} = getelementptr i64, ptr %words, i64 {i}")
        lines.append(f"  %word{i} = load {word}, ptr %address{i}")
    arguments = ", ".join(f"{word} %word{i}" for i, word in enumerate(words))
    lines += [f'  %status = call i32 @"{body}"({arguments})', "  ret i32 %status", "}"]
    return "\n" + "\n".join(lines) + "\n"


def _check_convention(module: llvm.ModuleRef, entry: llvm.ValueRef, expected: list[str]) -> None:
    """Check argument types, and that the code calls nothing of Numba's runtime."""
    found = [str(argument.type) for argument in entry.arguments]
    if found != expected:
        raise UnsupportedNumbaError(f"{entry.name} takes {', '.join(found)}")
    foreign = {
        one.name
        for one in module.functions
        if one.is_declaration and not one.name.startswith("llvm.")
    } - _LIBRARY_CALLS
    if foreign:
        raise UnsupportedNumbaError(f"{entry.name} calls {', '.join(sorted(foreign))}")
