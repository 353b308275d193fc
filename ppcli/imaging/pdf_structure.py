"""What a PDF file is made of: its pages as dictionaries, which PDFium does not show."""

import logging
import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO, TypeAlias

import pikepdf

logging.getLogger("pikepdf").addHandler(logging.NullHandler())  # what counts becomes a row
Value: TypeAlias = Any  # of an entry: any file may have any kind of value anywhere


class Structure:
    """The page dictionaries of a PDF.

    Attributes:
        pages: how many different ones its page tree has.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Read where the pages are.

        Raises:
            pikepdf.PikepdfError: when qpdf finds none.
        """
        self._file = file
        self._document = self._opened()
        self._places = _places_of_pages(self._document)
        self.pages = len(self._places)

    def _opened(self) -> pikepdf.Pdf:
        self._file.seek(0)
        # without a map of the file, which would be fatal if that were cut meanwhile
        return pikepdf.open(self._file, access_mode=pikepdf.AccessMode.stream)

    def page(self, number: int) -> Value:
        """The dictionary of a page (one-based)."""
        return self._document.get_object(self._places[number - 1])

    def let_go_of_read_objects(self) -> None:
        """Close the document and open it anew; qpdf holds what it has read of it."""
        self.close()
        self._document = self._opened()

    def close(self) -> None:
        """Let go of the document, but not of its file."""
        self._document.close()


def _places_of_pages(document: pikepdf.Pdf) -> list[tuple[int, int]]:
    """The object numbers of the pages in order; a page or a branch that comes again is left out."""
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
    """What a dictionary, or that of a stream, has under a key; None for nothing."""
    return of.get(key) if isinstance(of, pikepdf.Dictionary | pikepdf.Stream) else None


def spelled(name: Value) -> str:
    """A name without its slash; "" for what is no name."""
    return bytes(name)[1:].decode("utf-8", "replace") if isinstance(name, pikepdf.Name) else ""


def user_unit(page: Value) -> float:
    """How many points of 1/72 inch a unit of the page is; what is no such number counts as one."""
    unit = entry(page, "/UserUnit")
    if isinstance(unit, bool) or not isinstance(unit, int | float | Decimal):
        return 1.0
    unit = float(unit)
    return unit if 0 < unit < math.inf else 1.0
