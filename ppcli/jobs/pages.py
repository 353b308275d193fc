"""Turns pages of one image file into rows: decode, fit, prune, compress. Runs in workers."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.distinct import distinct_kernel
from ppcli.coding.patchset import patch_set_kernels
from ppcli.coding.selection import selection_kernels
from ppcli.errors import (
    MAX_MESSAGE_LENGTH,
    ErrorCode,
    ImageError,
    as_image_error,
    bounded,
)
from ppcli.files import FileState, current_size
from ppcli.imaging import direct
from ppcli.imaging.decode import UnreachableFrameError
from ppcli.imaging.page_cache import page_source
from ppcli.imaging.page_source import PageSource
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.imaging.resample import KERNELS as RESAMPLING
from ppcli.inputs.refs import ImageRef
from ppcli.inputs.sniff import sniffed_format
from ppcli.jit.kernel import Variant
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.page_analysis import PageResult, analyze_page, fit_page
from ppcli.jobs.task_frames import TaskFrames
from ppcli.store.rows import StatsRow, as_error_row

_MAX_PATCH_BYTES, _MAX_SECONDS = 64 << 20, 1.0


OnPage = Callable[[NDArray[np.uint8], StatsRow, AnalysisOptions, float, PageSource], PageResult]
"""Makes the result of a page.

Its arguments are the upright pixels, RGB uint8 (height, width, 3); the columns that are known; the
options; `time.perf_counter` at the start of the work on the page; and the open file.
"""


@dataclass(frozen=True, slots=True)
class FileCount:
    """The size of a file.

    Attributes:
        rows: number of rows it gives under the options.
        frames: number of pages or frames it has.
        format: name of its format.
    """

    rows: int
    frames: int
    format: str


@dataclass(frozen=True, slots=True)
class PagesResult:
    """Some pages of a file, at least one.

    Attributes:
        pages: in order.
        count: size of the whole file; None if it could not be opened.
        is_end: whether later pages cannot be read, although the file declares them.
        state: of the file when it was opened; None if it could not be opened.
    """

    pages: list[PageResult]
    count: FileCount | None
    is_end: bool = False
    state: FileState | None = None

    @property
    def nbytes(self) -> int:
        """Approximate size in memory, in bytes."""
        return sum(page.nbytes for page in self.pages)


def analyze_pages(
    ref: ImageRef,
    options: AnalysisOptions,
    first: int = 1,
    most: int = 1,
    on_page: OnPage | None = None,
    rows: int | None = None,
    frames: TaskFrames | None = None,
) -> PagesResult:
    """Make the rows of some pages of a file. Errors become error rows.

    Args:
        ref: the file.
        options: what the rows depend on.
        first: the first row of the file to make, from 1.
        most: maximum number of rows; fewer are made if they are large or take long.
        on_page: makes the result of each page; None for statistics and a patch set.
        rows: number of rows that the file gave before; another number now is an error.
        frames: those of the sequence that the file belongs to; None for a file by itself.
    """
    started = time.perf_counter()
    row, state = _blank_row(ref, options), None
    try:
        with page_source(ref.file, options.reading) as loan:
            source, state = loan.source, loan.state
            row = replace(row, file_bytes=loan.size)
            count = _count(source, options.reading)
            if rows not in (None, count.rows):
                raise ImageError(ErrorCode.UNREADABLE, "the file changed while it was being read")
            row = replace(row, frames=source.frames, format=source.format)
            part = slice(first - 1, first - 1 + most)
            make = on_page or analyze_page
            own = frames
            if options.sequence.sequence is not None and (frames is None or count.rows > 1):
                own = TaskFrames(options)
            result = _pages_of(source, count, row, ref, options, part, started, make, own)
            if own is not None and own is not frames:
                own.finish()
                if frames is not None:
                    frames.end_sequence()
            loan.more_to_come = first + len(result.pages) <= count.rows and not result.is_end
            return replace(result, state=state)
    except Exception as error:
        if row.file_bytes is None:
            row = _with_current_size(row, ref)
        if first > 1:  # the file vanished after its first page
            row = _row_of_page(row, ref, options.reading.number(row.format, first), several=True)
        return PagesResult(
            [PageResult(as_error_row(row, as_image_error(error), row.image_id))], None, state=state
        )


def _pages_of(
    source: PageSource,
    count: FileCount,
    row: StatsRow,
    ref: ImageRef,
    options: AnalysisOptions,
    part: slice,
    started: float,
    on_page: OnPage,
    frames: TaskFrames | None,
) -> PagesResult:
    reading = options.reading
    several = reading.gives_several(source.format, source.frames)
    numbers = reading.numbers(source.format, source.frames)
    results: list[PageResult] = []
    patch_bytes = 0
    task_started = started
    for number in numbers[part]:
        late = time.perf_counter() - task_started > _MAX_SECONDS
        is_long = late or patch_bytes >= _MAX_PATCH_BYTES
        if results and (is_long if frames is None else frames.are_full):
            break
        page = _row_of_page(row, ref, number, several)
        try:
            pixels = source.page(number, reading.background)
            height, width = pixels.shape[:2]
            page = replace(page, width=width, height=height, warning=_warning(source))
            if frames is None:
                results.append(on_page(pixels, page, options, started, source))
            else:
                frames.add(results, fit_page(pixels, page, options, started, stays=True))
        except Exception as error:
            results.append(PageResult(as_error_row(page, as_image_error(error), page.image_id)))
            if isinstance(error, UnreachableFrameError):
                count = replace(count, rows=part.start + len(results))
                return PagesResult(results, count, is_end=True)
        patch_bytes += results[-1].nbytes
        started = time.perf_counter()
    return PagesResult(results, count)


def _warning(source: PageSource) -> str | None:
    return None if source.warning is None else bounded(source.warning, MAX_MESSAGE_LENGTH)


def _count(source: PageSource, reading: ReadingOptions) -> FileCount:
    rows = len(reading.numbers(source.format, source.frames))
    return FileCount(rows, source.frames, source.format)


def kernels_of(options: AnalysisOptions) -> list[Variant]:
    """Return the kernels that images may need, to compile them before the first one is timed."""
    needed = [*direct.KERNELS, *RESAMPLING, *selection_kernels(options.coder, options.fit.tile)]
    needed.append(distinct_kernel(options.fit.tile))
    if options.patches or options.sequence.sequence is not None:
        needed += patch_set_kernels(options.coder, options.fit.tile)
    return needed


def count_rows(ref: ImageRef, options: AnalysisOptions) -> FileCount | None:
    """Return the size of a file without decoding it; None if it cannot be opened."""
    try:
        with page_source(ref.file, options.reading) as loan:
            return _count(loan.source, options.reading)
    except ImageError:
        return None


def lost_page(
    ref: ImageRef,
    options: AnalysisOptions,
    row_of_file: int,
    counted: FileCount | None,
    error: ImageError,
) -> PageResult:
    """Make the error row of a page whose task did not finish.

    Args:
        ref: the file.
        options: what the rows depend on.
        row_of_file: number of the row in the file, from 1.
        counted: size of the file; None if unknown.
        error: why the task did not finish.
    """
    row = _with_current_size(_blank_row(ref, options), ref)
    kind, frames = sniffed_format(ref.file), 1
    if counted is not None:
        kind, frames = counted.format, counted.frames
        row = replace(row, format=kind, frames=frames)
    number = options.reading.number(kind, row_of_file)
    several = options.reading.gives_several(kind, frames)
    page = _row_of_page(row, ref, number, several)
    return PageResult(as_error_row(page, error, page.image_id))


def _row_of_page(row: StatsRow, ref: ImageRef, number: int, several: bool) -> StatsRow:
    name = ref.page_id(number) if several else ref.image_id
    return replace(row, image_id=name, page=number)


def _blank_row(ref: ImageRef, options: AnalysisOptions) -> StatsRow:
    return StatsRow(
        image_id=ref.image_id,
        path=ref.shown_path,
        tile=options.fit.tile,
        fit=options.fit.fit.value,
        method=options.coder.method.value,
        metric=options.coder.metric.value,
        mode=options.coder.mode.value,
        threshold=options.coder.known_threshold,
    )


def _with_current_size(row: StatsRow, ref: ImageRef) -> StatsRow:
    """Return the row with the size of a file that could not be opened or identified."""
    return replace(row, file_bytes=current_size(ref.file))
