"""One JSON object of a configuration, whose values are looked at before they are believed."""

import math
from dataclasses import dataclass
from typing import Any

_MOST = 1 << 31


@dataclass(frozen=True, slots=True)
class Section:
    """A part of `config.json`.

    Attributes:
        name: what messages call it; empty for the whole file.
        values: its keys and values.
    """

    name: str
    values: dict[str, Any]

    @classmethod
    def of(cls, name: str, value: Any) -> "Section":  # noqa: ANN401
        """A section, if the value is one.

        Raises:
            ValueError: when it is something else.
        """
        if not isinstance(value, dict):
            raise ValueError(f"{name} is missing" if value is None else f"{name} is no object")
        return cls(name, value)

    def get(self, key: str) -> Any:  # noqa: ANN401
        """A value of any kind; null is as good as none."""
        return self.values.get(key)

    def integer(self, key: str, default: int | None = None, most: int = _MOST) -> int:
        """A whole number from 1 on.

        Raises:
            ValueError: when it is missing, another kind of value, or out of range.
        """
        value = self._there(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise ValueError(f"{self._named(key)} is to be a whole number from 1 to {most:,}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A number above 0.

        Raises:
            ValueError: when it is missing, another kind of value, or out of range.
        """
        value = self._there(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{self._named(key)} is to be a number")
        if not (0 < value <= _MOST * 1.0 * _MOST and math.isfinite(value)):
            raise ValueError(f"{self._named(key)} is to be a number above 0")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        """Yes or no.

        Raises:
            ValueError: for any other value.
        """
        value = self._there(key, default)
        if not isinstance(value, bool):
            raise ValueError(f"{self._named(key)} is to be true or false")
        return value

    def whole_numbers(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers from 0 on.

        Raises:
            ValueError: for any other value.
        """
        value = self._there(key, None)
        good = isinstance(value, list) and all(type(one) is int and one >= 0 for one in value)
        if not good:
            raise ValueError(f"{self._named(key)} is to be a list of whole numbers")
        return tuple(value)

    def _there(self, key: str, default: Any) -> Any:  # noqa: ANN401
        value = self.values.get(key)
        value = default if value is None else value
        if value is None:
            raise ValueError(f"{self._named(key)} is missing")
        return value

    def _named(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key
