"""Tells containers by the extensions of their names, and names of members from those of files."""

import re
from enum import StrEnum

SEPARATOR = "::"


class ContainerKind(StrEnum):
    """A kind of file that holds images; the value is its name in messages."""

    ZIP = "zip archive"
    TAR = "tar archive"
    TAR_GZIP = "tar.gz archive"
    TAR_ZSTD = "tar.zst archive"
    PARQUET = "Parquet file"

    @property
    def is_archive(self) -> bool:
        """Whether its members have names."""
        return self is not ContainerKind.PARQUET

    @property
    def is_compressed_tar(self) -> bool:
        """Whether it can only be read from its start, so that counting reads all of it."""
        return self in (ContainerKind.TAR_GZIP, ContainerKind.TAR_ZSTD)


_EXTENSIONS = {
    ".zip": ContainerKind.ZIP,
    ".tar": ContainerKind.TAR,
    ".tar.gz": ContainerKind.TAR_GZIP,
    ".tgz": ContainerKind.TAR_GZIP,
    ".tar.zst": ContainerKind.TAR_ZSTD,
    ".parquet": ContainerKind.PARQUET,
}
END_OF_CONTAINER = re.compile(
    f"(?:{'|'.join(map(re.escape, _EXTENSIONS))}){SEPARATOR}", re.IGNORECASE
)

_WEB = re.compile("https?://", re.IGNORECASE)  # where a query, such as a signature, may follow


def container_kind(name: str) -> ContainerKind | None:
    """Return the kind of container that a file name promises; None for other files."""
    if "?" in name and _WEB.match(name):
        name = name.partition("?")[0]
    lower = name[-8:].lower()
    return next((kind for end, kind in _EXTENSIONS.items() if lower.endswith(end)), None)


def member_splits(path: str) -> list[tuple[str, str]]:
    """Return the ways to read a path as `container::member`, the shortest container first."""
    ends = [
        (found.end() - len(SEPARATOR), found.end()) for found in END_OF_CONTAINER.finditer(path)
    ]
    return [(path[:end], path[begin:]) for end, begin in ends if path[begin:]]


def is_hidden(member: str) -> bool:
    """Return whether a member is left out as hidden files in folders are."""
    return any(
        part == "__MACOSX" or (part.startswith(".") and part not in (".", ".."))
        for part in member.split("/")
    )
