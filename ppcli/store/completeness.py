"""Whether the rows of a file are all that it gives: no page may be lost without a word."""

from collections.abc import Sequence

from ppcli.errors import PixelpruneError
from ppcli.imaging.image_choices import Frames
from ppcli.imaging.page_formats import has_pages
from ppcli.imaging.reading_options import PageRanges, ReadingOptions
from ppcli.store.formats import Config
from ppcli.store.rows import ERROR, AnswerRow, MainRow, ScoreRow, StatsRow


class PageCheck:
    """Takes the rows of one input after another, and says of each which are missing.

    What is compared are the columns `page` and `frames`; rows that do not have them pass.

    Args of the constructor:
        config: that the rows were made with.
    """

    def __init__(self, config: Config) -> None:
        pages = config.get("pages")
        self._reading = ReadingOptions(
            frames=Frames(config.get("frames", Frames.FIRST)),
            pages=None if pages is None else PageRanges.parse(pages),
        )
        self._pages: list[int] = []
        self._file: tuple[str, int] | None = None  # format and frames, once a row tells
        self._last: StatsRow | AnswerRow | None = None

    def add(self, row: MainRow) -> None:
        """Take the next row of the input."""
        if isinstance(row, ScoreRow):  # of a question, about the first page
            return
        self._pages.append(row.page)
        self._last = row
        if self._file is None and row.frames is not None:
            self._file = row.format or "", row.frames

    def missing(self) -> str:
        """What the input lacks, in words; empty when nothing. The next row begins another one.

        A file that cannot be opened gives one row, and an animation ends with the frame that
        cannot be reached, whatever it declares: that row is an error, and stands for the others.
        """
        pages, file, last = self._pages, self._file, self._last
        self._pages, self._file, self._last = [], None, None
        if file is None or last is None:
            return ""
        kind, frames = file
        number, wanted = self._wanted(kind, frames, len(pages), last.page)
        if not has_pages(kind) and last.status == ERROR:
            number = min(number, len(pages))
        if number == len(pages) and pages == wanted[:number]:
            return ""
        return _words(pages, number, wanted, "page" if has_pages(kind) else "frame", frames)

    def _wanted(self, kind: str, frames: int, rows: int, last: int) -> tuple[int, list[int]]:
        """How many pages become rows, and the first of them, one more than there are rows.

        A list of them all could be of any length: what a row says of its file may be wrong.
        """
        ranges = self._reading.pages
        if ranges is None or not has_pages(kind):
            several = self._reading.gives_several(kind, frames)
            number = max(0, frames) if several else 1
            return number, list(range(1, min(number, rows + 1) + 1))
        number = ranges.count(frames)
        if not number:  # --pages leaves none of it
            return 1, [last]
        return number, [ranges.nth(one) for one in range(1, min(number, rows + 1) + 1)]


def require_complete(missing: str, image_id: str) -> None:
    """End a run that would lose pages; `missing` is what `PageCheck` says.

    Raises:
        PixelpruneError: when it says anything.
    """
    if missing:
        raise PixelpruneError(
            f"a fault in pixelprune, please report it: {image_id}: {missing}. "
            "The run ends here; shards that were finished before are whole"
        )


def _words(pages: list[int], number: int, wanted: Sequence[int], noun: str, frames: int) -> str:
    there = set(pages)
    first = next((page for page in wanted if page not in there), None)
    if first is None:
        return f"it has {len(pages):,} rows, and {number:,} {'is' if number == 1 else 'are'} right"
    missing = max(1, number - len(there))
    rows = f"{missing:,} row{'s' * (missing > 1)} missing, from {noun} {first:,} on"
    return f"{rows}; the file has {frames:,} {noun}s"
