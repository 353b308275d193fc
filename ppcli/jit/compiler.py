"""From a Python function to machine code, with Numba, which only those import who compile.

The function must not allocate: its code then needs nothing of Numba to run. It is called in Numba's
own convention, which is held against what is expected.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import types

from ppcli.jit.machine import target_machine

# The numpy model has no exception for a division by zero, which kernels never do.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
_BARE = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_LIBRARY_CALLS = {"memcpy", "memset", "memmove", "ceil", "floor"}

_compilable: dict[str, dict[str, Any]] = {}  # the globals of a module, its helpers compilable


class OtherConventionError(Exception):
    """This release of Numba makes code that only it can call."""


def compile_kernel(
    function: Callable[..., Any],
    helpers: Sequence[Callable[..., Any]],
    kinds: Sequence[tuple[str, Any]],
    name: str,
) -> bytes:
    """An object file with the function `name`, which takes the place of its arguments.

    There they lie as words of 64 bits, in the convention of Numba: where the result and an
    exception go, then every argument, an array as owner, parent, number of items, bytes of one,
    data, shape and strides. It gives 0, or something else if it failed.

    Args:
        function: gives an int.
        helpers: functions that it calls.
        kinds: of each argument: ("array", (dtype, dimensions)), ("int", None) or
            ("constant", its value).
        name: the symbol.

    Raises:
        OtherConventionError: when the code cannot be called without Numba.
    """
    with _compiling():
        dispatcher = _jit(function, helpers, _OPTIONS | _BARE)
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
    _check(module, entry, words)
    whole = llvm.parse_assembly(str(module) + _unpacking(name, entry.name, words))
    return bytes(target_machine().emit_object(whole))


def compile_here(
    function: Callable[..., int], helpers: Sequence[Callable[..., Any]]
) -> Callable[..., int]:
    """The function as Numba itself calls it, in this process alone; constants are plain ints."""
    with _compiling():
        dispatcher = _jit(function, helpers, _OPTIONS)

    def call(*arguments: Any) -> int:  # noqa: ANN401
        with _compiling():
            return int(dispatcher(*arguments))

    return call


@contextmanager
def _compiling() -> Iterator[None]:
    """Compile, also where NUMBA_DISABLE_JIT is set for functions of others."""
    settings: Any = numba.config
    disabled, settings.DISABLE_JIT = settings.DISABLE_JIT, 0
    try:
        yield
    finally:
        settings.DISABLE_JIT = disabled


def _jit(
    function: Callable[..., Any],
    helpers: Sequence[Callable[..., Any]],
    options: dict[str, Any],
) -> Any:  # noqa: ANN401
    """A function as Numba compiles it, which sees its helpers compiled."""
    known = _compilable.get(function.__module__)
    if known is None:
        known = _compilable[function.__module__] = dict(function.__globals__)
        for helper in helpers:
            known[helper.__name__] = _seeing(known, helper, _OPTIONS | _BARE)
    return _seeing(known, function, options)


def _seeing(known: dict[str, Any], function: Callable[..., Any], options: dict[str, Any]) -> Any:  # noqa: ANN401
    """A function that Numba compiles, with `known` for its globals."""
    return numba.njit(FunctionType(function.__code__, known, function.__name__), **options)


def _numba_type(kind: str, what: Any) -> types.Type:  # noqa: ANN401
    if kind == "array":
        dtype, dimensions = what
        return types.Array(numba.from_dtype(np.dtype(dtype)), dimensions, "C")
    return types.int64 if kind == "int" else types.literal(what)  # type: ignore[no-untyped-call]


def _words(kinds: Sequence[tuple[str, Any]]) -> list[str]:
    """The types of the words."""
    words = ["ptr", "ptr"]
    for kind, what in kinds:
        if kind == "array":
            words += ["ptr", "ptr", "i64", "i64", "ptr", *(["i64"] * 2 * what[1])]
        else:
            words.append("i64")
    return words


def _unpacking(name: str, body: str, words: list[str]) -> str:
    """A function in the language of LLVM that calls another one with the words at a place."""
    lines = [f'define i32 @"{name}"(ptr %words) {{']
    for i, word in enumerate(words):
        lines.append(f"  %place{i} = getelementptr i64, ptr %words, i64 {i}")
        lines.append(f"  %word{i} = load {word}, ptr %place{i}")
    arguments = ", ".join(f"{word} %word{i}" for i, word in enumerate(words))
    lines += [f'  %status = call i32 @"{body}"({arguments})', "  ret i32 %status", "}"]
    return "\n" + "\n".join(lines) + "\n"


def _check(module: llvm.ModuleRef, entry: llvm.ValueRef, expected: list[str]) -> None:
    """Hold the code against what a caller without Numba takes for granted."""
    found = [str(argument.type) for argument in entry.arguments]
    if found != expected:
        raise OtherConventionError(f"{entry.name} takes {', '.join(found)}")
    foreign = {
        one.name
        for one in module.functions
        if one.is_declaration and not one.name.startswith("llvm.")
    } - _LIBRARY_CALLS
    if foreign:
        raise OtherConventionError(f"{entry.name} calls {', '.join(sorted(foreign))}")
