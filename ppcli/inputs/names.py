"""Reads file names from lists and file:// URLs."""

import codecs
import os
import re
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from ppcli.errors import UsageError
from ppcli.files import exists
from ppcli.inputs.refs import LONGEST_NAME, LongName

_READ_BYTES = 1 << 16
_MOST_BYTES = 4 * LONGEST_NAME  # of a name in UTF-8
_URL = re.compile(r"file:(?=/)(?://(?P<host>[^/]*))?(?P<path>/.*)?", re.IGNORECASE | re.DOTALL)
_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MARKS = (codecs.BOM_UTF8, *_WIDE_MARKS)
_WINDOWS_DRIVE = re.compile(r"/[A-Za-z]:")


def path_of(given: str) -> str:
    """Return the path for a name: the name itself, unless it is a file:// URL.

    Raises:
        UsageError: the URL names another machine or has no path.
    """
    url = _URL.fullmatch(given)
    if url is None or exists(given):
        return given
    host, path = url["host"], url["path"]  # includes `#` and `?`, which file names may contain
    if host and host.lower() != "localhost":
        raise UsageError(f"{given} is on another machine ({host}); only local files can be read")
    if path is None:
        raise UsageError(f"{given} has no path; write URLs like file:///folder/name")
    path = os.fsdecode(unquote_to_bytes(path.encode("utf-8", "surrogateescape")))
    if sys.platform == "win32" and _WINDOWS_DRIVE.match(path):
        return path[1:]
    return path


def names_in(file: BinaryIO, separator: bytes, begin: bytes = b"") -> Iterator[str]:
    r"""Yield the names in a list, except empty ones. The list is not read whole into memory.

    A byte order mark is not part of a name. It marks lists in UTF-16, as some shells write them,
    unless a file exists whose name begins with these bytes. In a list of lines, a `\r` before the
    `\n` is part of the line break, unless a file exists whose name ends with it. A name that is
    longer than any system allows is replaced by a `LongName`.

    Args:
        file: the list, open for reading.
        separator: a newline or NUL.
        begin: the part of the list that was read already.

    Raises:
        UsageError: the list cannot be read, or is invalid UTF-16.
    """
    lines = separator == b"\n"
    for raw in _split(_plain(file, separator, begin), separator):
        name = os.fsdecode(raw)
        if lines and name.endswith("\r") and not exists(name):
            name = name[:-1]
        if name:
            yield name


def _plain(file: BinaryIO, separator: bytes, begin: bytes) -> Iterator[bytes]:
    """Yield the blocks of a list as UTF-8, without a byte order mark."""
    read = reader(file)
    begin = begin or read()
    while begin and any(mark != begin and mark.startswith(begin) for mark in _MARKS):
        if not (more := read()):
            break
        begin += more
    wide = begin.startswith(_WIDE_MARKS)
    while wide and len(begin) < _MOST_BYTES and separator not in begin and (more := read()):
        begin += more
    blocks = chain([begin], iter(read, b""))
    if wide and not exists(os.fsdecode(begin.split(separator, 1)[0])):
        yield from _decoded(blocks)
    else:
        yield next(blocks).removeprefix(codecs.BOM_UTF8)
        yield from blocks


def _decoded(blocks: Iterator[bytes]) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-16")()
    try:
        for block in blocks:
            yield decoder.decode(block).encode()
        decoder.decode(b"", final=True)
    except UnicodeError as error:
        raise UsageError(f"the list of paths is not valid UTF-16: {error}") from None


def reader(file: BinaryIO) -> Callable[[], bytes]:
    """Return a function that reads the next bytes, without waiting for a whole block of a pipe.

    The function raises `UsageError` if the file cannot be read.
    """
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)

    def some() -> bytes:
        try:
            return read(_READ_BYTES)
        except OSError as error:
            raise UsageError(f"the list of paths cannot be read: {error.strerror}") from error

    return some


def _split(blocks: Iterator[bytes], separator: bytes) -> Iterator[bytes]:
    """Yield the names between separators; very long ones are abbreviated."""
    rest, long = b"", None
    for block in blocks:
        first, *others = block.split(separator)
        if long is not None:
            long.add(first)
        else:
            rest += first
            if len(rest) > _MOST_BYTES:
                long = LongName(rest)
        if others:
            yield _whole(rest, long)
            *others, rest = others
            yield from (_whole(one) for one in others)
            long = None
    yield _whole(rest, long)


def _whole(name: bytes, long: LongName | None = None) -> bytes:
    if long is None and len(name) <= _MOST_BYTES:
        return name
    return str(long or LongName(name)).encode()
