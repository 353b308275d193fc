"""Checks that an input has a row for each of its pages, so that none is lost silently."""

from collections.abc import Sequence

from ppcli.errors import PixelpruneError
from ppcli.imaging.image_choices import Frames
from ppcli.imaging.page_formats import has_pages
from ppcli.imaging.reading_options import PageRanges, ReadingOptions
from ppcli.store.formats import SETTINGS, Config
from ppcli.store.rows import ERROR, AnswerRow, MainRow, ScoreRow, StatsRow, SweepRow


class PageCheck:
    """Checks the rows of one input after another by their columns `page` and `frames`.

    Args of the constructor:
        config: configuration that the rows were made with.
    """

    def __init__(self, config: Config) -> None:
        pages = config.get("pages")
        self._reading = ReadingOptions(
            frames=Frames(config.get("frames", Frames.FIRST)),
            pages=None if pages is None else PageRanges.parse(pages),
        )
        self._settings = len(config.get(SETTINGS, [None]))
        self._pages: list[int] = []
        self._rows = 0
        self._file: tuple[str, int] | None = (
            None  # format and frames, from the first row that has them
        )
        self._last: StatsRow | AnswerRow | None = None

    def add(self, row: MainRow) -> None:
        """Add the next row of the input."""
        if isinstance(row, ScoreRow):  # a question is about the first page
            return
        self._rows += 1
        if isinstance(row, SweepRow) and row.is_same_page(self._last):
            return
        self._pages.append(row.page)
        self._last = row
        if self._file is None and row.frames is not None:
            self._file = row.format or "", row.frames

    def missing(self) -> str:
        """End the input and describe its missing rows; an empty text if none is missing.

        A file that cannot be opened has one error row. An animation ends with an error row at the
        first frame that cannot be decoded, whatever number of frames it declares.
        """
        pages, rows, file, last = self._pages, self._rows, self._file, self._last
        self._pages, self._rows, self._file, self._last = [], 0, None, None
        if rows != self._settings * len(pages) and last is not None:
            return f"it has {rows:,} rows instead of {self._settings:,} for each page"
        if file is None or last is None:
            return ""
        kind, frames = file
        number, wanted = self._wanted(kind, frames, len(pages), last.page)
        if not has_pages(kind) and last.status == ERROR:
            number = min(number, len(pages))
        if number == len(pages) and pages == wanted[:number]:
            return ""
        return _describe(pages, number, wanted, "page" if has_pages(kind) else "frame", frames)

    def _wanted(self, kind: str, frames: int, rows: int, last: int) -> tuple[int, list[int]]:
        """Return how many pages become rows, and the first of these pages.

        The list has at most one page more than there are rows: the number of frames comes from a
        row, may be wrong, and must not decide how much memory is allocated.
        """
        ranges = self._reading.pages
        if ranges is None or not has_pages(kind):
            several = self._reading.gives_several(kind, frames)
            number = max(0, frames) if several else 1
            return number, list(range(1, min(number, rows + 1) + 1))
        number = ranges.count(frames)
        if not number:  # --pages selects none
            return 1, [last]
        return number, [ranges.nth(one) for one in range(1, min(number, rows + 1) + 1)]


def require_complete(missing: str, image_id: str) -> None:
    """End a run that would lose pages.

    Args:
        missing: result of `PageCheck.missing`.
        image_id: id of the input.

    Raises:
        PixelpruneError: `missing` is not empty.
    """
    if missing:
        raise PixelpruneError(
            f"a bug in pixelprune, please report it: {image_id}: {missing}. "
            "The run ends here; finished shards are complete"
        )


def _describe(pages: list[int], number: int, wanted: Sequence[int], noun: str, frames: int) -> str:
    there = set(pages)
    first = next((page for page in wanted if page not in there), None)
    if first is None:
        return f"it has {len(pages):,} rows instead of {number:,}"
    missing = max(1, number - len(there))
    rows = f"{missing:,} row{'s' * (missing > 1)} missing, from {noun} {first:,} on"
    return f"{rows}; the file has {frames:,} {noun}s"
