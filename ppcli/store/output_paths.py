"""What the name of an output stands for: a file of rows, or a folder. Imports little."""

import os
import re
from dataclasses import dataclass
from enum import StrEnum

from ppcli.errors import UsageError
from ppcli.store.formats import Format

ROW_FILES = ".parquet, .jsonl or .csv, .jsonl and .csv also packed as .gz or .zst"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# Of a file, as far as a name tells; `run.2026` and `run.v2` are names of folders.
_SUFFIX_OF_FILES = re.compile(r"\.(?!v?\d+\Z)[A-Za-z0-9]{1,8}", re.ASCII)


class Compression(StrEnum):
    """How a file is compressed as a whole."""

    GZIP = "gzip"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True)
class RowFileType:
    """What a file of rows is.

    Attributes:
        format: of its rows.
        compression: None where it is not compressed as a whole.
    """

    format: Format
    compression: Compression | None = None


_COMPRESSIONS = {".gz": Compression.GZIP, ".zst": Compression.ZSTD}
_FORMATS = {".jsonl": Format.JSONL, ".csv": Format.CSV, ".parquet": Format.PARQUET}


def row_file_type(target: str, option: str = "-o") -> RowFileType | None:
    """What the file that a name stands for holds, or None where it stands for a folder.

    Args:
        target: the name.
        option: that it was given with, for the message.

    Raises:
        UsageError: for a URL, and for a name that is neither of a folder nor of a file of rows.
    """
    name, suffix = os.path.splitext(target)
    compression = _COMPRESSIONS.get(suffix.lower())
    if compression is not None:
        suffix = os.path.splitext(name)[1]
    row_format = _FORMATS.get(suffix.lower())
    if row_format is None or (compression is not None and row_format is Format.PARQUET):
        check_folder(target, option, f"files are written as {ROW_FILES}")
        return None
    check_path(target, option)
    return RowFileType(row_format, compression)


def check_folder(target: str, option: str, instead: str = "") -> None:
    """See that a name can be that of a folder: it is one, or it looks like one.

    Args:
        target: the name.
        option: that it was given with, for the message.
        instead: what can be written otherwise, for the message.

    Raises:
        UsageError: when not.
    """
    check_path(target, option)
    if os.path.isdir(target) or target.endswith(("/", os.sep)):
        return
    if _SUFFIX_OF_FILES.fullmatch(os.path.splitext(target)[1]):
        raise UsageError(
            f"{option} is {target}, which does not look like a folder{instead and '; '}{instead}; "
            f"a folder of that name is written {target}/"
        )


def check_path(target: str, option: str) -> None:
    """See that a name is a path of this machine, and means what it says.

    Raises:
        UsageError: when not.
    """
    if url := _URL.match(target):
        raise UsageError(
            f"{option} is {target}; nothing is written to {url[0]}…, only to paths of this machine"
        )
    home = f"~{os.sep}"
    if target.startswith(home) and not os.path.isdir("~"):
        raise UsageError(f"{option} is {target}, in which the shell has left ~ as it is")


def partial_folder(target: str) -> str:
    """Where the rows of a file are until it is whole."""
    return f"{target}.partial"


def is_same_file(one: str, other: str) -> bool:
    """Whether two names lead to one file that is there."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def resume_hint(overwrite: bool) -> str:
    """What goes on after a stop: with `--overwrite` a run starts anew."""
    return f"the same command{' without --overwrite' if overwrite else ''} goes on from here"
