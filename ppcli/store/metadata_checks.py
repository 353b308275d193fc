"""Validates values read from manifests and file metadata: datasets may be untrusted."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from ppcli.coding.coder_options import AUTO
from ppcli.errors import DamagedError, UsageError
from ppcli.imaging.image_choices import Fit, Frames
from ppcli.imaging.reading_options import PageRanges
from ppcli.store.formats import ANSWER_COLUMN, KEEP_COLUMNS, SETTINGS
from ppcli.store.rows import ANSWER, PATCHES, ROW_TYPES, AnswerRow

MAX_INT64 = (1 << 63) - 1  # what an integer column can store
_SIZES = ("patch_size", "merge_size", "min_pixels", "max_pixels")
_REQUIRED_FOR_STATISTICS = ("method", "threshold", "fit", *_SIZES)


class InvalidContentError(ValueError):
    """A file contains an invalid value."""


def parse_count(given: Any, what: str) -> int:  # noqa: ANN401
    """Return a non-negative integer.

    Raises:
        InvalidContentError: the value is anything else; the message names `what`.
    """
    if not _is_count(given):
        raise InvalidContentError(f"{what} is not a count")
    return int(given)


def parse_text(given: Any, what: str) -> str:  # noqa: ANN401
    """Return a string that can be encoded as UTF-8.

    Raises:
        InvalidContentError: the value is anything else; the message names `what`.
    """
    if not _is_text(given):
        raise InvalidContentError(f"{what} is not a text")
    return str(given)


def parse_config(given: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a configuration whose known settings have valid values.

    Raises:
        InvalidContentError: a value is invalid; the message names the setting.
    """
    if not isinstance(given, dict):
        raise InvalidContentError("the configuration is missing")
    for name, is_right in _SETTINGS.items():
        if name in given and not is_right(given[name]):
            raise InvalidContentError(f"the setting {name} has an unknown value")
    return given


def check_statistics_config(config: dict[str, Any], root: str) -> None:
    """Check that the configuration of a dataset of statistics has all settings of the coder.

    Raises:
        DamagedError: a setting is missing.
    """
    needed = _REQUIRED_FOR_STATISTICS + (("metric", "mode") if config.get("threshold") else ())
    missing = [name for name in needed if name not in config]
    if missing:
        raise DamagedError(f"{root}: the manifest lacks {', '.join(missing)}")


def _is_count(given: Any) -> bool:  # noqa: ANN401
    return isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= MAX_INT64


def _is_size(given: Any) -> bool:  # noqa: ANN401
    return _is_count(given) and given > 0


def _is_text(given: Any) -> bool:  # noqa: ANN401
    try:
        return isinstance(given, str) and given.encode() is not None
    except UnicodeEncodeError:
        return False


def _is_fraction(given: Any) -> bool:  # noqa: ANN401
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    return is_number and 0 <= given <= 1


def _is_pages(given: Any) -> bool:  # noqa: ANN401
    if given is None:
        return True
    try:
        return _is_text(given) and PageRanges.parse(given) is not None
    except (UsageError, ValueError):  # ValueError: a number with thousands of digits
        return False


def _is_schema(given: Any) -> bool:  # noqa: ANN401
    return isinstance(given, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_text, pair)) for pair in given
    )


def _is_settings(given: Any) -> bool:  # noqa: ANN401
    return isinstance(given, list) and bool(given)


def _is_answer_column(given: Any) -> bool:  # noqa: ANN401
    return _is_text(given) and given not in {one.name for one in fields(AnswerRow)} - {ANSWER}


def _one_of(values: Any) -> Callable[[Any], bool]:  # noqa: ANN401
    return lambda given: isinstance(given, str) and given in list(values)


_SETTINGS: dict[str, Callable[[Any], bool]] = {
    "rows": _one_of(ROW_TYPES.keys() - {PATCHES}),
    "patches": lambda given: isinstance(given, bool),
    "fit": _one_of(Fit),
    **dict.fromkeys(_SIZES, _is_size),
    "threshold": lambda given: given == AUTO or _is_fraction(given),
    "method": _is_text,
    "metric": _is_text,
    "mode": _is_text,
    "frames": _one_of(Frames),
    "pages": _is_pages,
    KEEP_COLUMNS: _is_schema,
    ANSWER_COLUMN: _is_answer_column,
    SETTINGS: _is_settings,
}
