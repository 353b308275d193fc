"""From a Python function to machine code, with Numba, which only those import who compile.

The function must not allocate: its code then needs nothing of Numba to run. It is called in Numba's
own convention, which `check` holds against what is expected.
"""

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import types
from numba.extending import overload

from ppcli.jit.machine import target_machine

# The numpy model has no exception for a division by zero, which kernels never do.
_OPTIONS: Any = {"nogil": True, "error_model": "numpy", "_nrt": False}
_BARE: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_LIBRARY_CALLS = {"memcpy", "memset", "memmove", "ceil", "floor"}

_known: set[Callable[..., Any]] = set()


def compile_kernel(
    function: Callable[..., Any],
    helpers: Sequence[Callable[..., Any]],
    kinds: Sequence[tuple[str, Any]],
    name: str,
) -> bytes:
    """An object file in which the function is called `name`.

    Args:
        function: gives an int.
        helpers: functions that it calls.
        kinds: of each argument: ("array", (dtype, dimensions)), ("int", None) or
            ("constant", its value).
        name: the symbol.
    """
    for helper in helpers:
        _make_known(helper)
    dispatcher = numba.njit(function, **_OPTIONS, **_BARE)
    dispatcher.compile(types.int64(*(_numba_type(*kind) for kind in kinds)))
    (text,) = dispatcher.inspect_llvm().values()
    module = llvm.parse_assembly(text)
    (entry,) = [
        one
        for one in module.functions
        if not one.is_declaration and one.linkage is llvm.Linkage.external
    ]
    entry.name = name
    _check(module, entry, kinds)
    return bytes(target_machine().emit_object(module))


def _make_known(helper: Callable[..., Any]) -> None:
    """Let Numba compile a plain function where another calls it; constants stay constants."""
    if helper not in _known:
        _known.add(helper)
        overload(helper, jit_options=_OPTIONS, strict=False, prefer_literal=True)(lambda *_: helper)


def _numba_type(kind: str, what: Any) -> types.Type:  # noqa: ANN401
    if kind == "array":
        dtype, dimensions = what
        return types.Array(numba.from_dtype(np.dtype(dtype)), dimensions, "C")
    return types.int64 if kind == "int" else types.literal(what)  # type: ignore[no-untyped-call]


def _check(module: llvm.ModuleRef, entry: llvm.ValueRef, kinds: Sequence[tuple[str, Any]]) -> None:
    """Hold the code against what a caller without Numba takes for granted."""
    expected = ["ptr", "ptr"]
    for kind, what in kinds:
        if kind == "array":
            expected += ["ptr", "ptr", "i64", "i64", "ptr", *(["i64"] * 2 * what[1])]
        else:
            expected.append("i64")
    found = [str(argument.type) for argument in entry.arguments]
    if found != expected:
        raise RuntimeError(f"this release of Numba calls {entry.name} otherwise: {found}")
    foreign = {
        one.name
        for one in module.functions
        if one.is_declaration and not one.name.startswith("llvm.")
    } - _LIBRARY_CALLS
    if foreign:
        raise RuntimeError(f"{entry.name} calls {', '.join(sorted(foreign))}")
