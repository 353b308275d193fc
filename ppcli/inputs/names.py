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
        UsageError: for a URL that names another machine or has no path.
    """
    url = _URL.fullmatch(given)
    if url is None or exists(given):
        return given
    host, path = url["host"], url["path"]  # with what stands behind `#` and `?`: names have them
    if host and host.lower() != "localhost":
        raise UsageError(f"{given} is a file of {host}, which is another machine")
    if path is None:
        raise UsageError(f"{given} has no path; write it like file:///folder/name")
    path = os.fsdecode(unquote_to_bytes(path.encode("utf-8", "surrogateescape")))
    if sys.platform == "win32" and _WINDOWS_DRIVE.match(path):
        return path[1:]
    return path


def names_in(file: BinaryIO, separator: bytes, begin: bytes = b"") -> Iterator[str]:
    r"""The names in a list, without reading it whole; empty ones are left out.

    A byte order mark is no part of a name. Lists in UTF-16, as some shells write them, are told by
    theirs, unless it is how a file's name begins. In a list of lines a `\r` before the `\n` belongs
    to the line's end, unless a file has such a name. Of a name that is longer than any system
    takes it gives what stands for it.

    Args:
        file: the list, open for reading.
        separator: a newline or NUL.
        begin: what was read of it already.

    Raises:
        UsageError: when it cannot be read, or is no UTF-16 though it begins so.
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
        raise UsageError(f"the list of paths is not the UTF-16 it begins as: {error}") from None


def reader(file: BinaryIO) -> Callable[[], bytes]:
    """Reads what is there already, without waiting for a whole block of a pipe.

    What it gives raises a `UsageError` when the file cannot be read.
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
