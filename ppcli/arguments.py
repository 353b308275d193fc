"""Checks of the arguments of public functions. Imports nothing heavy."""

import math
import os
import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from numbers import Real
from operator import index
from typing import Any, TypeVar

from ppcli.errors import UsageError, bounded, did_you_mean

_Choice = TypeVar("_Choice", bound=StrEnum)


def describe_value(value: object) -> str:
    """Return a value and its type as an error message shows them, at most 80 characters long."""
    try:
        shown = repr(value)
    except Exception:  # a foreign __repr__, or an int of too many digits
        shown = "a value"
    return f"{bounded(shown, 80)} ({type(value).__name__})"


def as_text(value: object, name: str) -> str:
    """Return the value if it is a str.

    Raises:
        UsageError: it is something else.
    """
    if not isinstance(value, str):
        raise UsageError(f"{name} is {describe_value(value)}; it must be a string")
    return value


def as_utf8_text(value: object, name: str) -> str:
    """Return the value if it is a str that can be encoded as UTF-8; file names need not be.

    Raises:
        UsageError: it is something else, or contains an unpaired surrogate.
    """
    text = as_text(value, name)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} contains an unpaired surrogate; it must be valid text") from None
    return text


def as_text_list(value: object, name: str) -> list[str]:
    """Return the items of an iterable of str.

    Raises:
        UsageError: it is a single str, or something else.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise UsageError(f"{name} is {describe_value(value)}; it must be a list of strings")
    return [as_text(item, f"an item of {name}") for item in value]


def as_path(value: object, name: str) -> str:
    """Return the path that a str or a path-like object stands for.

    Raises:
        UsageError: it is something else, or a path of bytes.
    """
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise UsageError(f"{name} is {describe_value(value)}; it must be a path")
    return path


def as_bool(value: object, name: str) -> bool:
    """Return the value if it is a bool, of Python or NumPy.

    Raises:
        UsageError: it is something else.
    """
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):  # NumPy 1 and 2
        return bool(value)
    raise UsageError(f"{name} is {describe_value(value)}; it must be True or False")


def as_int(value: Any, name: str, least: int, most: int | None = None) -> int:  # noqa: ANN401
    """Return the value as an int, if it is an integer of Python or NumPy.

    Args:
        value: the argument.
        name: its name, for the message.
        least: the smallest value allowed.
        most: the largest value allowed.

    Raises:
        UsageError: it is something else, or out of range.
    """
    try:
        number = None if isinstance(value, bool) else index(value)
    except TypeError:
        number = None
    if number is None or number < least or (most is not None and number > most):
        upper = "" if most is None else f" and at most {most}"
        raise UsageError(
            f"{name} is {describe_value(value)}; it must be a whole number, at least {least}{upper}"
        )
    return number


def as_float(
    value: Any,  # noqa: ANN401
    name: str,
    least: float = -math.inf,
    most: float = math.inf,
) -> float:
    """Return the value as a float, if it is a number of Python or NumPy in a range.

    Raises:
        UsageError: it is something else, or out of range.
    """
    number: Any = value
    largest = sys.float_info.max
    is_number = not isinstance(value, bool) and isinstance(value, Real)  # which NaN is, too
    if is_number and max(least, -largest) <= number <= min(most, largest):
        return float(number)
    bounds = "" if least == -math.inf else f", at least {least:g}"
    if most != math.inf:
        bounds = f" between {least:g} and {most:g}"
    raise UsageError(f"{name} is {describe_value(value)}; it must be a number{bounds}")


def parse_choice(kind: type[_Choice], name: str, value: str) -> _Choice:
    """Return the member of `kind` whose value is `value`.

    Args:
        kind: the choices.
        name: what is chosen, for the message.
        value: the argument.

    Raises:
        UsageError: it is unknown; the message lists the known values.
    """
    try:
        return kind(value)
    except ValueError:
        shown = repr(str(value)) if isinstance(value, str) else describe_value(value)
        near = did_you_mean(bounded(str(value)), kind)
        raise UsageError(f"unknown {name} {shown}; known: {', '.join(kind)}{near}") from None
