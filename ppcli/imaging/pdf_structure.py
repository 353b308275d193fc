"""Reads the page dictionaries of a PDF with qpdf; PDFium does not expose them."""

import logging
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO, TypeAlias

import pikepdf

logging.getLogger("pikepdf").addHandler(logging.NullHandler())  # errors become rows
Value: TypeAlias = Any  # an object of any type, since files may have any type anywhere


class Structure:
    """The page dictionaries of a PDF.

    Attributes:
        pages: number of distinct pages in the page tree.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Read the page tree.

        Raises:
            pikepdf.PikepdfError: qpdf cannot open the document.
        """
        self._file = file
        self._document = self._open()
        self._page_ids = _page_ids(self._document)
        self.pages = len(self._page_ids)

    def _open(self) -> pikepdf.Pdf:
        self._file.seek(0)
        # not memory-mapped: a mapped file that is truncated meanwhile would kill the process
        return pikepdf.open(self._file, access_mode=pikepdf.AccessMode.stream)

    def page(self, number: int) -> Value:
        """Return the dictionary of a page (one-based)."""
        return self._document.get_object(self._page_ids[number - 1])

    def reopen(self) -> None:
        """Close and reopen the document, to free the objects that qpdf caches."""
        self.close()
        self._document = self._open()

    def close(self) -> None:
        """Close the document, but not its file."""
        self._document.close()


def _page_ids(document: pikepdf.Pdf) -> list[tuple[int, int]]:
    """Return the object ids of the pages in order, without repeated pages and branches."""
    found: list[tuple[int, int]] = []
    seen = set()
    branches: list[Iterator[object]] = [iter([entry(document.Root, "/Pages")])]
    while branches:
        node = next(branches[-1], None)
        if node is None:
            branches.pop()
        elif isinstance(node, pikepdf.Dictionary) and node.objgen not in seen:
            seen.add(node.objgen)
            if isinstance(kids := entry(node, "/Kids"), pikepdf.Array):
                branches.append(iter(kids))
            else:
                found.append(node.objgen)
    return found


def entry(of: Value, key: str | pikepdf.Name) -> Value:
    """Return the value of a key in a dictionary or a stream's dictionary, or None."""
    return of.get(key) if isinstance(of, pikepdf.Dictionary | pikepdf.Stream) else None


def name_text(name: Value) -> str:
    """Return a name without its slash, or "" for any other object."""
    return bytes(name)[1:].decode("utf-8", "replace") if isinstance(name, pikepdf.Name) else ""


def user_unit(page: Value) -> float:
    """Return the page's user unit in points of 1/72 inch; 1 if it is missing or invalid."""
    unit = entry(page, "/UserUnit")
    if isinstance(unit, bool) or not isinstance(unit, int | float | Decimal):
        return 1.0
    unit = float(unit)
    return unit if 0 < unit < math.inf else 1.0
