"""The tasks that turn one image file, which may have many pages, into rows."""

from dataclasses import dataclass, replace

from ppcli.coding.sequence_options import MOST_FRAMES
from ppcli.engine.ordered import Call, Outcome
from ppcli.errors import ImageError
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions, may_give_several
from ppcli.jobs.page_analysis import PageResult
from ppcli.jobs.pages import FileCount, OnPage, PagesResult, analyze_pages, count_rows, lost_page

_PAGES_PER_TASK = 16


@dataclass(frozen=True, slots=True)
class _PageCall(Call):
    """A call of `analyze_pages`.

    Attributes:
        first: row of the file it starts with, from 1.
        most: how many rows it covers; it may return fewer.
    """

    first: int = 1
    most: int = 1

    @property
    def last(self) -> int:
        return self.first + self.most - 1


class FilePlan:
    """Plans the first page of a file, and spans of pages once that has shown how many there are.

    Args of the constructor:
        ref: the file.
        options: what the rows depend on.
        on_page: what is done with the pixels of each page; see `analyze_pages`.
    """

    def __init__(
        self, ref: ImageRef, options: AnalysisOptions, on_page: OnPage | None = None
    ) -> None:
        self.ref = ref
        self._options = options
        self._on_page = on_page
        self._count: FileCount | None = None
        self._planned = 0  # rows covered by calls
        self._first_error: ImageError | None = None

    @property
    def _in_sequence(self) -> bool:
        return self._options.sequence.sequence is not None

    @property
    def _rows(self) -> int:
        """How many rows the file gives, as far as is known."""
        return 1 if self._count is None else self._count.rows

    def next_call(self) -> Call | None:
        """Plan the next span of pages, if it is known that there are more."""
        rest = self._rows - self._planned
        if rest <= 0:
            return None
        most = MOST_FRAMES if self._in_sequence else min(_PAGES_PER_TASK, rest)
        call = self._call(self._planned + 1, most)
        self._planned = call.last
        return call

    def completed(self, call: Call, result: PagesResult | FileCount | None) -> Outcome[PageResult]:
        """Return the pages of a span, and repeat the part that its task left out."""
        if not isinstance(result, PagesResult):
            self._count = result
            return self._lost_first_page()
        assert isinstance(call, _PageCall)
        if call.first == 1:
            self.ref = self.ref.with_state(result.state)
        if call.first == 1 or result.is_end:
            self._count = result.count or self._count
        last = call.first + len(result.pages) - 1
        rest = min(call.last, self._rows) - last
        repeat = [self._call(last + 1, rest)] if rest > 0 else []
        return Outcome(result.pages, repeat, result.is_end)

    def failed(self, call: Call, error: ImageError) -> Outcome[PageResult]:
        """Repeat a span page by page to find the page at fault; that one becomes an error row.

        If it is the first page, the pages are counted without decoding any, to do the others.
        """
        if not isinstance(call, _PageCall):
            return self._lost_first_page()
        if call.most > 1:
            last = call.last
            if self._count is None:  # the first span, and it is not known whether it has pages
                last = self._planned = call.first
            return Outcome(repeat=[self._call(row, 1) for row in range(call.first, last + 1)])
        if call.first == 1 and may_give_several(self.ref, self._options):
            self._first_error = error
            return Outcome(repeat=[Call(count_rows, (self.ref, self._options))])
        return Outcome([lost_page(self.ref, self._options, call.first, self._count, error)])

    def _lost_first_page(self) -> Outcome[PageResult]:
        assert self._first_error is not None
        return Outcome([lost_page(self.ref, self._options, 1, self._count, self._first_error)])

    def _call(self, first: int, most: int) -> _PageCall:
        rows = None if self._count is None else self._count.rows
        ref = replace(self.ref, columns=None)  # no worker needs them
        args = (ref, self._options, first, most, self._on_page, rows)
        return _PageCall(analyze_pages, args, first, most)
