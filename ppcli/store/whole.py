"""Whether the rows of a file are all that it gives: no page may be lost without a word."""

from collections.abc import Sequence

from ppcli.errors import ImageError, PixelpruneError
from ppcli.imaging.choices import Frames
from ppcli.imaging.reading import PAGED, PageRanges, Reading
from ppcli.store.choices import Config
from ppcli.store.rows import ERROR, AnswerRow, MainRow, ScoreRow, StatsRow


class PageCheck:
    """Takes the rows of one input after another, and says of each which are missing.

    What is compared are the columns `page` and `frames`; rows that do not have them pass.

    Args of the constructor:
        config: that the rows were made with.
    """

    def __init__(self, config: Config) -> None:
        pages = config.get("pages")
        self._reading = Reading(
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
        try:
            wanted = self._reading.numbers(kind, frames)
        except ImageError:  # --pages leaves none of it
            wanted = [last.page]
        if kind not in PAGED and last.status == ERROR:
            wanted = wanted[: len(pages)]
        whole = len(pages) == len(wanted) and pages == list(wanted)
        noun = "page" if kind in PAGED else "frame"
        return "" if whole else _words(pages, wanted, noun, frames)


def refuse_lost(missing: str, image_id: str) -> None:
    """End a run that would lose pages; `missing` is what `PageCheck` says.

    Raises:
        PixelpruneError: when it says anything.
    """
    if missing:
        raise PixelpruneError(
            f"a fault in pixelprune, please report it: {image_id}: {missing}. "
            "The run ends here; shards that were finished before are whole"
        )


def _words(pages: list[int], wanted: Sequence[int], noun: str, frames: int) -> str:
    there = set(pages)
    first = next((page for page in wanted if page not in there), None)
    if first is None:
        return f"it has {len(pages):,} rows, and {len(wanted):,} are right"
    number = max(1, len(wanted) - len(there))
    rows = f"{number:,} row{'s' * (number > 1)} missing, from {noun} {first:,} on"
    return f"{rows}; the file has {frames:,} {noun}s"
