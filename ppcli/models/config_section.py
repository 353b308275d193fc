"""One JSON object of a configuration file, whose values are checked as they are read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_MAX_NUMBER = 1 << 31


@dataclass(frozen=True, slots=True)
class ConfigSection:
    """A part of `config.json`.

    Attributes:
        name: shown in messages; empty for the whole file.
        values: its keys and values.
    """

    name: str
    values: dict[str, Any]

    @classmethod
    def of(cls, name: str, value: Any) -> "ConfigSection":  # noqa: ANN401
        """Wrap a value that must be a JSON object.

        Raises:
            ValueError: if it is missing, or of another type.
        """
        if not isinstance(value, dict):
            raise ValueError(f"{name} is {'missing' if value is None else 'not an object'}")
        return cls(name, value)

    def get(self, key: str) -> Any:  # noqa: ANN401
        """A value of any type; None for null and for a missing key."""
        return self.values.get(key)

    def integer(self, key: str, default: int | None = None, most: int = _MAX_NUMBER) -> int:
        """A whole number from 1 to `most`.

        Raises:
            ValueError: if it is missing without a default, of another type, or out of range.
        """
        value = self._required(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise ValueError(f"{self._named(key)} must be a whole number from 1 to {most:,}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number above 0.

        Raises:
            ValueError: if it is missing without a default, of another type, or out of range.
        """
        value = self._required(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{self._named(key)} must be a number")
        if not (0 < value <= _MAX_NUMBER * 1.0 * _MAX_NUMBER and math.isfinite(value)):
            raise ValueError(f"{self._named(key)} must be a number above 0")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """True or false.

        Raises:
            ValueError: for any other value.
        """
        value = self._required(key, default)
        if not isinstance(value, bool):
            raise ValueError(f"{self._named(key)} must be true or false")
        return value

    def whole_numbers(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers from 0 on.

        Raises:
            ValueError: if it is missing, or anything else.
        """
        value = self._required(key, None)
        valid = isinstance(value, list) and all(type(one) is int and one >= 0 for one in value)
        if not valid:
            raise ValueError(f"{self._named(key)} must be a list of whole numbers")
        return tuple(value)

    def _required(self, key: str, default: Any) -> Any:  # noqa: ANN401
        value = self.values.get(key)
        value = default if value is None else value
        if value is None:
            raise ValueError(f"{self._named(key)} is missing")
        return value

    def _named(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key


def token_ids(value: Any) -> tuple[int, ...]:  # noqa: ANN401
    """Parse `eos_token_id`, which is one id, a list of ids, or null.

    Raises:
        ValueError: for anything else.
    """
    listed = value if isinstance(value, list) else [] if value is None else [value]
    for one in listed:
        if type(one) is not int or one < 0:
            raise ValueError(
                f"eos_token_id is {value!r}; it must be the id of a token, a number such as "
                "151645, or a list of them"
            )
    return tuple(listed)


def flags_in(sections: Sequence[ConfigSection], key: str) -> list[bool]:
    """Read a flag that several sections may have.

    Args:
        sections: in the order of the result.
        key: of the flag.

    Returns:
        The flags that are set.

    Raises:
        ValueError: if one is neither true nor false.
    """
    return [one.flag(key, False) for one in sections if one.get(key) is not None]
