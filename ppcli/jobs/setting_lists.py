"""Lists of methods, metrics and thresholds. Imports little, since `--help` needs them."""

from enum import StrEnum
from typing import Any, TypeVar

from ppcli.arguments import as_text_list, parse_choice
from ppcli.coding.coder_options import Threshold, parse_threshold

_Choice = TypeVar("_Choice", bound=StrEnum)


def parse_thresholds(text: str) -> tuple[Threshold, ...]:
    """Parse thresholds that commas separate.

    Raises:
        UsageError: one is neither `auto` nor a number between 0 and 1.
    """
    return tuple(parse_threshold(part.strip()) for part in text.split(","))


def parse_names(text: str) -> tuple[str, ...]:
    """Split names that commas separate."""
    return tuple(part.strip() for part in text.split(","))


def members(kind: type[_Choice], label: str, values: Any) -> tuple[_Choice, ...]:  # noqa: ANN401
    """Return the members of an enumeration that a list names.

    Args:
        kind: the enumeration.
        label: what a member is called in messages.
        values: the names.

    Raises:
        UsageError: it is not a list of strings, or a name is unknown.
    """
    return tuple(parse_choice(kind, label, one) for one in as_text_list(values, f"{label}s"))
