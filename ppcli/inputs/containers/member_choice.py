"""Which members of containers are inputs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ppcli.files import InputFile
from ppcli.inputs.refs import Columns

EVERY_COLUMN = "*"


def is_kept(column: str, names: tuple[str, ...]) -> bool:
    """Return whether `--keep-columns` names a column.

    Args:
        column: its name.
        names: as given; each may be several with commas between, or `*` for all.
    """
    return EVERY_COLUMN in names or column in names or column in column_names(names)


def column_names(names: tuple[str, ...]) -> list[str]:
    """Return the names of columns one by one, where commas separate some."""
    return [part.strip() for name in names for part in name.split(",")]


def _every(_: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class MemberChoice:
    """Which members of containers are inputs, and what is read with them.

    Attributes:
        takes: whether the options choose a member of an archive with this name.
        skip: called for each file or member that is not an image.
        lacks: called with the reason if a container cannot be read to its end.
        everything: take members that are hidden or no images too.
        in_folder: the container was found, not named: without images it is skipped.
        image_column: the column of Parquet files with the images; None to find it.
        kept: names of columns that are read with the images.
    """

    takes: Callable[[str], bool] = _every
    skip: Callable[[], None] = lambda: None
    lacks: Callable[[str], None] = lambda _: None
    everything: bool = False
    in_folder: bool = False
    image_column: str | None = None
    kept: tuple[str, ...] = ()


class Member(NamedTuple):
    """A member that is an input.

    Attributes:
        name: exactly as stored; for a Parquet file the number of the row.
        file: handle of its bytes.
        columns: kept columns, as far as they are known before the image is read.
    """

    name: str
    file: InputFile
    columns: Columns | None = None
