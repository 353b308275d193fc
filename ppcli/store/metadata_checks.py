"""What a manifest says, looked at before it is believed: folders may come from strangers."""

from collections.abc import Callable
from typing import Any

from ppcli.errors import DamagedError, UsageError
from ppcli.imaging.image_choices import Fit, Frames
from ppcli.imaging.reading_options import PageRanges
from ppcli.store.rows import PATCHES, ROW_TYPES

LARGEST = (1 << 63) - 1  # what a column of whole numbers takes
_SIZES = ("patch_size", "merge_size", "min_pixels", "max_pixels")
_OF_STATISTICS = ("method", "threshold", "fit", *_SIZES)


class InvalidContentError(ValueError):
    """A file says what cannot be."""


def parse_count(given: Any, what: str) -> int:  # noqa: ANN401
    """A whole number that is not negative.

    Raises:
        InvalidContentError: when it is something else, with `what` it was for.
    """
    if not _is_count(given):
        raise InvalidContentError(f"its {what} is no count")
    return int(given)


def parse_text(given: Any, what: str) -> str:  # noqa: ANN401
    """A text that can be written again.

    Raises:
        InvalidContentError: when it is something else, with `what` it was for.
    """
    if not _is_text(given):
        raise InvalidContentError(f"its {what} is no text")
    return str(given)


def parse_config(given: Any) -> dict[str, Any]:  # noqa: ANN401
    """A configuration: what is used of it is of the right type, and known here.

    Raises:
        InvalidContentError: when it is not, with the name of the setting.
    """
    if not isinstance(given, dict):
        raise InvalidContentError("it has no configuration")
    for name, is_right in _SETTINGS.items():
        if name in given and not is_right(given[name]):
            raise InvalidContentError(f"its setting {name} is none that is known here")
    return given


def check_statistics_config(config: dict[str, Any], root: str) -> None:
    """See that the configuration of a dataset of statistics says how they were made.

    Raises:
        DamagedError: when it does not.
    """
    needed = _OF_STATISTICS + (("metric", "mode") if config.get("threshold") else ())
    missing = [name for name in needed if name not in config]
    if missing:
        raise DamagedError(f"{root}: the manifest does not tell the {', '.join(missing)}")


def _is_count(given: Any) -> bool:  # noqa: ANN401
    return isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= LARGEST


def _is_size(given: Any) -> bool:  # noqa: ANN401
    return _is_count(given) and given > 0


def _is_text(given: Any) -> bool:  # noqa: ANN401
    try:
        return isinstance(given, str) and given.encode() is not None
    except UnicodeEncodeError:
        return False


def _is_share(given: Any) -> bool:  # noqa: ANN401
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    return is_number and 0 <= given <= 1


def _is_pages(given: Any) -> bool:  # noqa: ANN401
    if given is None:
        return True
    try:
        return _is_text(given) and PageRanges.parse(given) is not None
    except (UsageError, ValueError):  # a number of thousands of digits
        return False


def _one_of(values: Any) -> Callable[[Any], bool]:  # noqa: ANN401
    return lambda given: isinstance(given, str) and given in list(values)


_SETTINGS: dict[str, Callable[[Any], bool]] = {
    "rows": _one_of(ROW_TYPES.keys() - {PATCHES}),
    "patches": lambda given: isinstance(given, bool),
    "fit": _one_of(Fit),
    **dict.fromkeys(_SIZES, _is_size),
    "threshold": _is_share,
    "method": _is_text,
    "metric": _is_text,
    "mode": _is_text,
    "frames": _one_of(Frames),
    "pages": _is_pages,
}
