"""The journal of a dataset in a store: one object for each line.

Objects cannot be appended to. The lines that continue one manifest are in a folder of their own,
named after its digest, so that those of an earlier manifest are never taken for them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ppcli.errors import DamagedError
from ppcli.filesystems.changes import put, remove
from ppcli.filesystems.objects import start_reading, wait_for
from ppcli.filesystems.store_faults import FaultKind, StoreError
from ppcli.store.journal import JournalContent, chained_line, parse_line
from ppcli.store.places.place import Content, ManifestT

if TYPE_CHECKING:
    from ppcli.store.places.object_place import ObjectPlace

_TRIES = 5  # while another run merges the journal into the manifest
_AT_A_TIME = 64


class _Lines:
    """Writes lines, each as an object that must not exist yet."""

    def __init__(self, folder: "ObjectPlace", base: str) -> None:
        self._folder = folder
        self._last = base
        self._count = 0

    @property
    def is_empty(self) -> bool:
        """Whether no line was appended."""
        return not self._count

    def append(self, content: Content) -> None:
        """Write the next line.

        Raises:
            OutputError: it cannot be written, or another run has written it.
        """
        line, digest = chained_line(content, self._last)
        place = self._folder / _name(self._count)
        place.check()
        with place.faults():
            try:
                put(place.url, line, only_new=place.held is None or place.held.is_conditional)
            except StoreError as error:
                if error.kind is not FaultKind.EXISTS:
                    raise
                if place.read() != line:  # it is not from a try whose answer was lost
                    place.check()
                    raise
        self._count += 1
        self._last = digest

    def close(self) -> None:
        """Do nothing: nothing is open."""


@dataclass(frozen=True, slots=True)
class ObjectJournal:
    """The journal of a dataset in a store.

    Attributes:
        folder: the folder of its lines, in one more folder for each manifest.
    """

    folder: "ObjectPlace"

    def begin(self, base: str) -> _Lines:
        """Return a writer of the lines that continue the manifest with the digest `base`."""
        return _Lines(self.folder / base, base)

    def read_with(
        self, read_manifest: Callable[[], tuple[ManifestT, str]]
    ) -> tuple[ManifestT, str, JournalContent]:
        """Read the manifest, then its lines; see `DatasetJournal.read_with`.

        If a line is missing, a running process merges them into the manifest right now.
        """
        for _ in range(_TRIES):
            manifest, base = read_manifest()
            lines = self._lines(self.folder / base)
            if lines is not None:
                return manifest, base, _chained(lines, base, self.folder / base)
        raise DamagedError(f"{self.folder / base} lacks lines")

    def _lines(self, folder: "ObjectPlace") -> list[bytes] | None:
        """Return the lines in a folder; None if one is missing."""
        names = sorted(folder.names())
        if names != [_name(number) for number in range(len(names))]:
            return None
        try:
            return _read_all([folder / name for name in names])
        except FileNotFoundError:
            return None

    def is_torn(self) -> bool:
        """No: a line is written whole."""
        return False

    def exists(self) -> bool:
        """Whether there is a line, of this manifest or an earlier one."""
        return bool(self.folder.names())

    def delete(self) -> None:
        """Delete all lines."""
        folders = [self.folder / base for base in self.folder.names()]
        lines = [folder / name for folder in folders for name in folder.names()]
        if lines:
            self.folder.check()
            with self.folder.faults():
                remove(line.url for line in lines)


def _read_all(places: "list[ObjectPlace]") -> list[bytes]:
    """Read small objects, several at a time."""
    found: list[bytes] = []
    for start in range(0, len(places), _AT_A_TIME):
        some = places[start : start + _AT_A_TIME]
        reading = [start_reading(place.url, None) for place in some]
        for place, one in zip(some, reading, strict=True):
            with place.faults():
                found.append(wait_for(one, place.url).content or b"")
    return found


def _name(number: int) -> str:
    return f"{number:08d}.json"


def _chained(lines: list[bytes], base: str, folder: "ObjectPlace") -> JournalContent:
    found = JournalContent(base)
    last = base
    for number, line in enumerate(lines):
        entry = parse_line(line.removesuffix(b"\n"), last)
        if entry is None:
            raise DamagedError(f"{folder / _name(number)} was changed after it was written")
        last = entry.pop("digest")
        found.entries.append(entry)
    return found
