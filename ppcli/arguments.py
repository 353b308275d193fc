"""What Python programs hand over, checked: each says what it wanted. Imports nothing heavy."""

import os
from collections.abc import Iterable, Mapping
from numbers import Real
from operator import index
from typing import Any

from ppcli.errors import UsageError, bounded


def describe_value(value: object) -> str:
    """A value as a message shows it, with its type."""
    try:
        words = repr(value)
    except Exception:  # of somebody else's class, or a number of too many digits
        words = "a value"
    return f"{bounded(words, 80)} ({type(value).__name__})"


def as_text(value: object, name: str) -> str:
    """Text.

    Raises:
        UsageError: when it is something else.
    """
    if not isinstance(value, str):
        raise UsageError(f"{name} is {describe_value(value)}; it must be text")
    return value


def as_utf8_text(value: object, name: str) -> str:
    """Text that can be written as UTF-8, which file names need not be.

    Raises:
        UsageError: when it is something else, or holds half a character.
    """
    text = as_text(value, name)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} holds half a character; it must be text") from None
    return text


def as_text_list(value: object, name: str) -> list[str]:
    """Several texts.

    Raises:
        UsageError: when it is one text, or something else.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise UsageError(f"{name} is {describe_value(value)}; it must be a list of texts")
    return [as_text(one, f"one of {name}") for one in value]


def as_path(value: object, name: str) -> str:
    """A path, given as text or as an object that has one.

    Raises:
        UsageError: when it is something else.
    """
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(path, str):
        raise UsageError(f"{name} is {describe_value(value)}; it must be a path")
    return path


def as_bool(value: object, name: str) -> bool:
    """True or false.

    Raises:
        UsageError: when it is something else.
    """
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):  # of NumPy
        return bool(value)
    raise UsageError(f"{name} is {describe_value(value)}; it must be True or False")


def as_int(value: Any, name: str, least: int, most: int | None = None) -> int:  # noqa: ANN401
    """A whole number, of Python or NumPy.

    Raises:
        UsageError: when it is something else, or out of range.
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


def as_fraction(value: Any, name: str) -> float:  # noqa: ANN401
    """A number between 0 and 1, of Python or NumPy.

    Raises:
        UsageError: when it is something else, or out of range.
    """
    number: Any = value
    if not isinstance(value, bool) and isinstance(value, Real) and 0 <= number <= 1:
        return float(number)
    raise UsageError(f"{name} is {describe_value(value)}; it must be a number between 0 and 1")
