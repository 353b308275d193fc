"""`analyze`: every input through the coder, every row into the sink, in input order."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import chain

from ppcli.errors import NothingToDoError
from ppcli.imaging.decode import pillow_limits
from ppcli.inputs.listing import Listing
from ppcli.run.analysis import AnalysisOptions, PageResult, analyze_file
from ppcli.run.summary import Summary
from ppcli.store.outputs import RowSink
from ppcli.store.rows import OK


def analyze(
    listing: Listing,
    options: AnalysisOptions,
    open_sink: Callable[[], AbstractContextManager[RowSink]],
    on_row: Callable[[PageResult], None],
    on_file: Callable[[], None],
) -> Summary:
    """Run the job.

    Args:
        listing: the inputs.
        options: what the rows depend on.
        open_sink: opens what takes the rows; not called when there is nothing to try.
        on_row: told of each row once the sink has it.
        on_file: told of each finished input.

    Raises:
        NothingToDoError: when the inputs hold no file to try.
        OutputError: when the sink cannot write.
    """
    summary = Summary()
    started = time.perf_counter()
    refs = iter(listing)
    first = next(refs, None)
    if first is None:
        skipped = f"; {listing.skipped:,} other files were passed over" if listing.skipped else ""
        raise NothingToDoError(f"there is no image among the inputs{skipped}")
    with pillow_limits(options.max_image_pixels), open_sink() as sink:
        for ref in chain([first], refs):
            rows = frames = 0
            for result in analyze_file(ref, options):
                sink.add(result.stats, result.patches)
                summary.add(result)
                on_row(result)
                rows += 1
                frames = (result.stats.frames or rows) if result.stats.status == OK else rows
            sink.end_of_input()
            summary.files += 1
            summary.frames_left += frames - rows
            on_file()
    summary.skipped = listing.skipped
    summary.seconds = time.perf_counter() - started
    return summary
