"""Options of commands and of the Python API: metadata of fields, and checks that follow from it.

An options dataclass is one panel of `--help`. Its fields carry an `Option` in their `Annotated`
types, which is the only definition of an option: the command line builds its parameters from it,
and instances check their values against it.
"""

import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from types import NoneType
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

from ppcli.arguments import as_bool, as_float, as_int, as_text, describe_value, parse_choice
from ppcli.errors import UsageError


def listed(names: Iterable[str]) -> str:
    """Return names as text for `--help`: `a, b or c`."""
    *others, last = names
    return f"{', '.join(others)} or {last}"


@dataclass(frozen=True, slots=True)
class Option:
    """What `--help` shows of a field, and which values the field takes.

    Attributes:
        help: one or two sentences.
        flags: names on the command line; by default `--` and the name of the field. A switch that
            is on by default also gets its negative form.
        metavar: stands for the value in `--help`.
        min: smallest number.
        max: largest number.
        parse: converts the text of the command line to the value; raises `UsageError`.
        default_text: the default as the command line spells it; needed where `parse` is given.
        choices: the subset of an enumeration that is valid here.
        is_argument: positional on the command line.
        off_flag: a name for the command line that switches the field off; it has no name that
            switches it on.
    """

    help: str
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    min: float | None = None
    max: float | None = None
    parse: Callable[[str], Any] | None = None
    default_text: str | None = None
    choices: type[StrEnum] | None = None
    is_argument: bool = False
    off_flag: str | None = None


@dataclass(frozen=True, slots=True)
class OptionField:
    """A field of an options dataclass.

    Attributes:
        name: of the field.
        type: without None, where the field may be None.
        optional: whether the field may be None.
        default: of the field.
        option: its metadata.
    """

    name: str
    type: Any
    optional: bool
    default: Any
    option: Option


@dataclass(frozen=True, slots=True)
class Options:
    """Base class of frozen dataclasses whose fields are options.

    Attributes:
        panel: the title of the panel in `--help`; None for the general one.

    Raises:
        UsageError: a value has the wrong type or is out of range.
    """

    panel: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        for field in option_fields(type(self)):
            object.__setattr__(self, field.name, _checked(getattr(self, field.name), field))


_fields: dict[type[Options], tuple[OptionField, ...]] = {}


def option_fields(kind: type[Options]) -> tuple[OptionField, ...]:
    """Return the fields of an options dataclass that have metadata, in order."""
    if kind not in _fields:
        hints = get_type_hints(kind, include_extras=True)
        _fields[kind] = tuple(
            _option_field(field.name, hints[field.name], field.default)
            for field in fields(kind)
            if get_origin(hints[field.name]) is Annotated
        )
    return _fields[kind]


def _option_field(name: str, hint: Any, default: object) -> OptionField:  # noqa: ANN401
    annotation, option = get_args(hint)
    members = get_args(annotation) if NoneType in get_args(annotation) else ()
    value_type = next((one for one in members if one is not NoneType), annotation)
    return OptionField(name, value_type, bool(members), default, option)


def _checked(value: Any, field: OptionField) -> Any:  # noqa: ANN401
    """Return the value of a field, converted to its type.

    Raises:
        UsageError: it has another type, or is out of range.
    """
    kind, label = field.type, field.name.replace("_", " ")
    if value is None and field.optional:
        return None
    if kind == tuple[str, ...]:
        return _as_texts(value, label)
    if not isinstance(kind, type):
        return value  # which the class checks
    if issubclass(kind, StrEnum):
        return kind(parse_choice(field.option.choices or kind, label, value))
    if kind is int or kind is float:
        return _as_number(value, label, field)
    return _as_plain(value, label, kind)


def _as_plain(value: Any, label: str, kind: type) -> Any:  # noqa: ANN401
    if kind is bool:
        return as_bool(value, label)
    if kind is str:
        return as_text(os.fspath(value) if isinstance(value, os.PathLike) else value, label)
    if not isinstance(value, kind):
        raise UsageError(f"{label} is {describe_value(value)}; it must be a {kind.__name__}")
    return value


def _as_number(value: Any, label: str, field: OptionField) -> float:  # noqa: ANN401
    smallest, largest = field.option.min, field.option.max
    if field.type is int:
        least = -sys.maxsize if smallest is None else int(smallest)
        return as_int(value, label, least, None if largest is None else int(largest))
    return as_float(
        value,
        label,
        -math.inf if smallest is None else smallest,
        math.inf if largest is None else largest,
    )


def _as_texts(value: object, label: str) -> tuple[str, ...]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise UsageError(f"{label} is {describe_value(value)}; it must be a list of strings")
    return tuple(as_text(os.fspath(one), f"one of {label}") for one in value)
