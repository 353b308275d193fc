"""Rows of patch sets, each with the frame that it depends on."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from ppcli.coding.frame_chain import FrameChain
from ppcli.coding.sequence_options import MOST_FRAMES, Direction
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.store.formats import Config
from ppcli.store.patch_codec import StoredPatchSet, from_patch_row
from ppcli.store.places.place import Place
from ppcli.store.reader import open_parquet, read_metadata, read_patch_rows
from ppcli.store.rows import PATCHES, SEQUENCE, PatchRow


@dataclass(slots=True, eq=False)
class FrameRow:
    """A row of a patch-set file.

    Attributes:
        row: the row.
        before: the row that it depends on; None for none, or if that is missing.
        place: number in its sequence, from 1.
        pixels: of the rasters of its sequence, its own the last.
    """

    row: PatchRow
    before: "FrameRow | None" = None
    place: int = 1
    pixels: int = 0
    _stored: list[StoredPatchSet] = field(default_factory=list, init=False, repr=False)

    def stored(self, max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS) -> StoredPatchSet:
        """Return its patch set.

        Args:
            max_pixels: most pixels of a raster.

        Raises:
            DamagedError: the columns contradict one another, or a frame is missing.
            ImageError: `too_large`.
        """
        if not self._stored:
            before = None if self.before is None else self.before.stored(max_pixels)
            self._stored.append(from_patch_row(self.row, max_pixels, before))
        return self._stored[0]


def read_frame_rows(
    path: str | Place, image_ids: Collection[str] | None = None, config: Config | None = None
) -> Iterator[FrameRow]:
    """Iterate over the rows of a patch-set file, with few of them in memory: a sequence at most.

    Args:
        path: the file.
        image_ids: ids of the rows to read; None reads all.
        config: configuration that the file must have; None accepts any.

    Raises:
        DamagedError: the file is unreadable, or a checksum does not match.
    """
    direction = read_metadata(path).config.get(SEQUENCE)
    if direction is None:
        yield from map(FrameRow, read_patch_rows(path, image_ids, config))
        return
    wanted = None if image_ids is None else frozenset(image_ids)
    needed = None if wanted is None else _with_references(path, wanted, direction)
    rows = read_patch_rows(path, needed, config)
    frames = _backwards(rows) if direction == Direction.REVERSE else _linked(rows)
    for frame in frames:
        if wanted is None or frame.row.image_id in wanted:
            yield frame


def _with_references(path: str | Place, image_ids: frozenset[str], direction: str) -> set[str]:
    """Return the ids of some rows and of those that they depend on, without reading patch sets."""
    with open_parquet(path, PATCHES) as file:
        columns = file.read(columns=["image_id", "reference"])
    names, references = (columns[name].to_pylist() for name in ("image_id", "reference"))
    step = 1 if direction == Direction.REVERSE else -1
    needed: set[str] = set()
    for wanted in (at for at, name in enumerate(names) if name in image_ids):
        for place in range(wanted, wanted + step * MOST_FRAMES, step):
            if not 0 <= place < len(names):
                break
            needed.add(names[place])
            if references[place] is None:
                break
    return needed


def _linked(rows: Iterable[PatchRow]) -> Iterator[FrameRow]:
    """Link each row with the one before it if it depends on that."""
    before: FrameRow | None = None
    for row in rows:
        pixels = row.grid_h * row.grid_w * row.tile**2
        if (
            before is None
            or row.reference != before.row.image_id
            or FrameChain.is_full(before.place, before.pixels)  # no file may fill the memory
        ):
            before = FrameRow(row, pixels=pixels)
        else:
            before = FrameRow(row, before, before.place + 1, before.pixels + pixels)
        yield before


def _backwards(rows: Iterable[PatchRow]) -> Iterator[FrameRow]:
    """Link each row with the one after it, sequence by sequence."""
    waiting: list[PatchRow] = []
    for row in rows:
        waiting.append(row)
        if row.reference is None or len(waiting) == MOST_FRAMES:
            yield from reversed(list(_linked(reversed(waiting))))
            waiting.clear()
    yield from reversed(list(_linked(reversed(waiting))))
