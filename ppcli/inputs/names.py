"""Names of files as people hand them over: lists of other systems, URLs, patterns."""

import codecs
import glob
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO
from urllib.parse import unquote_to_bytes, urlsplit

from ppcli.errors import UsageError

_READ_BYTES = 1 << 16
_URL = "file:"
_ANY_FOLDERS = "**"
_LOCAL_HOSTS = frozenset({"", "localhost"})
_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WINDOWS_DRIVE = re.compile(r"/[A-Za-z]:")


def path_of(given: str) -> str:
    """The path that a name stands for: itself, unless it is a file:// URL and no file's name.

    Raises:
        UsageError: for a URL of another machine.
    """
    if not given.lower().startswith(_URL) or os.path.lexists(given):
        return given
    url = urlsplit(given)
    if url.netloc.lower() not in _LOCAL_HOSTS:
        raise UsageError(f"{given} is a file of {url.netloc}, which is another machine")
    raw = given[len(_URL) :].removeprefix("//" + url.netloc)  # `#` and `?` are left to names
    path = os.fsdecode(unquote_to_bytes(raw.encode("utf-8", "surrogateescape")))
    if sys.platform == "win32" and _WINDOWS_DRIVE.match(path):
        return path[1:]
    return path


def names_in(file: BinaryIO, separator: bytes) -> Iterator[str]:
    r"""The names in a list, without reading it whole; empty ones are left out.

    A byte order mark is no part of a name. Lists in UTF-16, as some shells write them, are told by
    theirs. In a list of lines a `\r` before the `\n` belongs to the line's end, unless a file has
    such a name.

    Args:
        file: the list, open for reading.
        separator: a newline or NUL.

    Raises:
        UsageError: when it cannot be read, or is no UTF-16 though it begins so.
    """
    lines = separator == b"\n"
    for raw in _split(_plain(file), separator):
        name = os.fsdecode(raw)
        if lines and name.endswith("\r") and not os.path.lexists(name):
            name = name[:-1]
        if name:
            yield name


def _plain(file: BinaryIO) -> Iterator[bytes]:
    """The blocks of a list in UTF-8, without a byte order mark."""
    read = _reader(file)
    begin = block = read()
    while block and len(begin) < len(codecs.BOM_UTF8):
        begin += (block := read())
    wide = begin.startswith(_WIDE_MARKS)
    decode = codecs.getincrementaldecoder("utf-16")().decode if wide else None
    block = begin if wide else begin.removeprefix(codecs.BOM_UTF8)
    while begin:
        try:
            yield decode(block).encode() if decode else block
        except UnicodeError as error:
            raise UsageError(f"the list of paths is not the UTF-16 it begins as: {error}") from None
        begin = block = read()


def _reader(file: BinaryIO) -> Callable[[], bytes]:
    """Reads what is there already, without waiting for a whole block of a pipe."""
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)

    def some() -> bytes:
        try:
            return read(_READ_BYTES)
        except OSError as error:
            raise UsageError(f"the list of paths cannot be read: {error.strerror}") from error

    return some


def _split(blocks: Iterator[bytes], separator: bytes) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(separator)
        yield from whole
    yield rest


def matches(pattern: str) -> Iterator[str]:
    """What a pattern matches, in bytewise order.

    Leading folders that are there by that very name are no patterns; where nothing matches, its
    brackets are tried as they stand. `**` does not go through links to folders, as no walk does.
    """
    found = _glob(_fixed(pattern))
    if not found and "[" in pattern:
        found = _glob(pattern.replace("[", "[[]"))
    return iter(sorted(found, key=os.fsencode))


def _fixed(pattern: str) -> str:
    """The pattern, with the magic taken from leading folders that exist as they are written."""
    done, rest = os.path.splitdrive(pattern)
    fixed = done
    for part in re.split(r"(?<=/)", rest):
        if not part.endswith("/") or not os.path.isdir(done + part):
            return fixed + pattern[len(done) :]
        done += part
        fixed += glob.escape(part)
    return fixed


def _glob(pattern: str) -> list[str]:
    found = glob.glob(pattern, recursive=True)
    return (
        [one for one in found if not _is_through_link(one, pattern)] if _walks(pattern) else found
    )


def _walks(pattern: str) -> bool:
    return "**" in pattern.split("/")


def _is_through_link(path: str, pattern: str) -> bool:
    """Whether what `**` stands for passes a link to a folder, or is one."""
    start = pattern.split("/").index(_ANY_FOLDERS)
    parts = path.split("/")
    links = ("/".join(parts[: end + 1]) for end in range(start, len(parts)))
    return any(os.path.islink(one) and os.path.isdir(one) for one in links if one)


def is_walk(pattern: str) -> bool:
    """Whether what a pattern matches is taken by the rules for folders: it has a `**`."""
    return _ANY_FOLDERS in pattern.split("/")
