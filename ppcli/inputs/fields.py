"""Reads JSON objects that other programs wrote, and the settings in requests.

pandas writes null or NaN for a missing value, and 8.0 for 8 if other values are missing.
"""

import json
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from ppcli.errors import bounded

Object = dict[str, Any]
_LONGEST_SHOWN = 80
_MOST_DIGITS = 1_000


def parse_object(line: bytes) -> Object:
    """Parse a line as a JSON object and drop the fields without a value.

    Raises:
        ValueError: it is not an object, repeats a field, or is nested too deeply.
    """
    try:
        parsed = json.loads(line, object_pairs_hook=_object, parse_int=_integer)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} (character {error.colno:,})") from None
    if not isinstance(parsed, dict):
        raise ValueError("it is not a JSON object")
    return with_values(parsed)


def with_values(fields: Object) -> Object:
    """Drop the fields whose value is null or NaN."""
    return {name: value for name, value in fields.items() if not is_absent(value)}


def is_absent(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is null or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _object(pairs: list[tuple[str, Any]]) -> Object:
    made = dict(pairs)
    if len(made) < len(pairs):
        times = Counter(name for name, _ in pairs)
        twice = next(name for name in made if times[name] > 1)
        raise ValueError(f"the field {bounded(twice)} is repeated")
    return made


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("it has a number with too many digits")
    return int(digits)


def text(value: Any) -> str:  # noqa: ANN401
    """Return a string that can be encoded as UTF-8; JSON can contain unpaired surrogates.

    Raises:
        ValueError: it has another type.
    """
    if not isinstance(value, str):
        raise ValueError(f"is {_shown(value)}; it must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("contains an unpaired surrogate") from None
    return value


def texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return one or several strings as a tuple.

    Raises:
        ValueError: it has another type.
    """
    return tuple(map(text, value)) if isinstance(value, list) else (text(value),)


def number(value: Any) -> float:  # noqa: ANN401
    """Return a number as a float.

    Raises:
        ValueError: it is not a number, or too large for a float.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"is {_shown(value)}; it must be a number")
    try:
        return float(value)
    except OverflowError:
        raise ValueError("is out of range") from None


def whole(value: Any) -> int:  # noqa: ANN401
    """Return an integer, which may be written as 8.0.

    Raises:
        ValueError: it has another type.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"is {_shown(value)}; it must be a whole number")
    return value


def words(value: Any) -> str:  # noqa: ANN401
    """Return a string, or a number converted to one.

    Raises:
        ValueError: it has another type.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("is neither a string nor a number")
    return text(str(value))


def name(value: Any) -> str:  # noqa: ANN401
    """Return a name: a string, or a number converted to one. 7.0 becomes `7`.

    Raises:
        ValueError: it has another type.
    """
    return words(int(value) if isinstance(value, float) and value.is_integer() else value)


def _shown(value: Any) -> str:  # noqa: ANN401
    return bounded(json.dumps(value, ensure_ascii=False), _LONGEST_SHOWN)


# Settings of a single request, named like the fields of `GenerationRequest`.
SETTINGS: dict[str, Callable[[Any], Any]] = {
    "system": text,
    "max_new_tokens": whole,
    "temperature": number,
    "top_p": number,
    "top_k": whole,
    "min_p": number,
    "repetition_penalty": number,
    "presence_penalty": number,
    "seed": whole,
    "stop": texts,
}


def settings_of(fields: Object) -> Object:
    """Return the settings among the fields of a request.

    Raises:
        ValueError: a setting is invalid; the message names it.
    """
    return {key: read(key, fields[key], SETTINGS[key]) for key in SETTINGS if key in fields}


def read(key: str, value: Any, reader: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    """Convert the value of a field.

    Raises:
        ValueError: from `reader`, with the name of the field.
    """
    try:
        return reader(value)
    except ValueError as error:
        raise ValueError(f"{key} {error}") from None
