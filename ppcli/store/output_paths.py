"""Decides from its name whether an output is a file of rows or a folder. Imports little."""

import os
import re
from dataclasses import dataclass
from enum import StrEnum

from ppcli.errors import UsageError
from ppcli.filesystems.schemes import SCHEMES, is_url, known_scheme, shown_url
from ppcli.store.formats import Format

ROW_FILES = ".parquet, .jsonl or .csv; .jsonl and .csv also as .gz or .zst"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# Suffixes of files; `run.2026` and `run.v2` are names of folders.
_FILE_SUFFIX = re.compile(r"\.(?!v?\d+\Z)[A-Za-z0-9]{1,8}", re.ASCII)


class Compression(StrEnum):
    """Compression of a whole file."""

    GZIP = "gzip"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True)
class RowFileType:
    """Format and compression of a file of rows.

    Attributes:
        format: format of the rows.
        compression: compression of the whole file; None for none.
    """

    format: Format
    compression: Compression | None = None


_COMPRESSIONS = {".gz": Compression.GZIP, ".zst": Compression.ZSTD}
_FORMATS = {".jsonl": Format.JSONL, ".csv": Format.CSV, ".parquet": Format.PARQUET}


def row_file_type(target: str, option: str = "-o") -> RowFileType | None:
    """Return the type of a file of rows, or None if the name is that of a dataset folder.

    Args:
        target: path of the output, or URL of a folder.
        option: the option that set it, for messages.

    Raises:
        UsageError: a name that is neither a folder's nor that of a file of rows, or a URL where
            no dataset can be.
    """
    name, suffix = os.path.splitext(target)
    compression = _COMPRESSIONS.get(suffix.lower())
    if compression is not None:
        suffix = os.path.splitext(name)[1]
    row_format = _FORMATS.get(suffix.lower())
    is_file = row_format is not None and not (compression and row_format is Format.PARQUET)
    if is_url(target):
        _check_dataset_url(target, option, is_file)
        return None
    if row_format is None or not is_file:
        check_folder(target, option, f"supported files: {ROW_FILES}")
        return None
    check_path(target, option)
    return RowFileType(row_format, compression)


def _check_dataset_url(url: str, option: str, is_file: bool) -> None:
    """Check that a URL can be that of a dataset folder.

    Raises:
        UsageError: the name is that of a file, or the store does not take datasets.
    """
    if not known_scheme(url).takes_datasets:
        names = [f"{name}://" for name, scheme in SCHEMES.items() if scheme.takes_datasets]
        raise UsageError(
            f"{option} is {shown_url(url)}; datasets are written only to local paths and to "
            f"{', '.join(names)}"
        )
    if is_file and not url.endswith("/"):
        raise UsageError(
            f"{option} is {shown_url(url)}; single files are written only to local paths, datasets "
            f"also to URLs; for a dataset folder of that name, write {shown_url(url)}/"
        )
    if not url.partition("://")[2].strip("/"):
        raise UsageError(f"{option} is {shown_url(url)}, which names no {known_scheme(url).store}")


def check_folder(target: str, option: str, instead: str = "") -> None:
    """Check that a path is a folder or looks like the name of one.

    Args:
        target: path of the output.
        option: the option that set it, for messages.
        instead: advice for the message.

    Raises:
        UsageError: the path looks like a file.
    """
    check_path(target, option)
    if os.path.isdir(target) or target.endswith(("/", os.sep)):
        return
    if _FILE_SUFFIX.fullmatch(os.path.splitext(target)[1]):
        raise UsageError(
            f"{option} is {target}, which does not look like a folder{instead and '; '}{instead}; "
            f"for a folder of that name, write {target}/"
        )


def check_path(target: str, option: str) -> None:
    """Check that a name is a local path without an unexpanded `~`.

    Raises:
        UsageError: a URL, or a path that begins with `~`.
    """
    if url := _URL.match(target):
        raise UsageError(
            f"{option} is {shown_url(target)}; writing to {url[0]}… is not supported, only to "
            "local paths"
        )
    home = f"~{os.sep}"
    if target.startswith(home) and not os.path.isdir("~"):
        raise UsageError(f"{option} is {target}; the shell did not expand ~")


def partial_folder(target: str) -> str:
    """Return the folder for the rows of a file until the run ends."""
    return f"{target}.partial"


def is_same_file(one: str, other: str) -> bool:
    """Return whether two paths are the same existing file, or two URLs the same."""
    if is_url(one) and is_url(other):
        return one.rstrip("/") == other.rstrip("/")
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def resume_hint(overwrite: bool) -> str:
    """Return the advice how to resume; `--overwrite` would start from nothing."""
    return f"run the same command{' without --overwrite' if overwrite else ''} to resume"
