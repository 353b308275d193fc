"""Many files under way, results in input order, memory bounded by what is under way."""

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.executors.executor import Executor, Task
from ppcli.engine.stopping import Stop
from ppcli.errors import ImageError
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions, may_give_several
from ppcli.jobs.pages import (
    FileCount,
    OnPage,
    PageResult,
    PagesResult,
    analyze_pages,
    count_rows,
    lost_page,
)

_PAGES_AT_A_TIME = 16
_LOOK_UP_SECONDS = 0.1


@dataclass(slots=True)
class _Span:
    """Some rows of a file, and the task that is at them once there is room for one."""

    first: int
    most: int
    task: Task | None = None
    again: bool = False

    @property
    def last(self) -> int:
        """The last of its rows."""
        return self.first + self.most - 1


@dataclass(slots=True)
class _File:
    """A file under way: its first page tells how many rows there are, then the others follow.

    Attributes:
        ref: the file.
        spans: what is to come, in order and without gaps, from the next row on.
        given: rows that have been given away; the file is done when they are all its rows.
        counted: what is known of the file, once its first page has told.
    """

    ref: ImageRef
    spans: deque[_Span] = field(default_factory=lambda: deque([_Span(1, 1)]))
    given: int = 0
    counted: FileCount | None = None

    @property
    def rows(self) -> int:
        """How many rows it gives, as far as is known."""
        return self.counted.rows if self.counted is not None else 1

    @property
    def planned(self) -> int:
        """The last row that a span covers."""
        return self.spans[-1].last if self.spans else self.given


class Pipeline:
    """Analyzes files in an executor.

    Args of the constructor:
        executor: where the work is done.
        options: what the rows depend on.
        stop: asked now and then; once it says so, no further file is begun.
        on_page: what is done with the pixels of a page; it must be picklable.
    """

    def __init__(
        self,
        executor: Executor,
        options: AnalysisOptions,
        stop: Stop = lambda: False,
        on_page: OnPage | None = None,
    ) -> None:
        self._executor = executor
        self._options = options
        self._stop = stop
        self._on_page = on_page
        self._files: deque[_File] = deque()
        self._under_way = 0  # tasks that are submitted and not looked at

    def run(
        self, refs: Arrivals[ImageRef]
    ) -> Generator[tuple[ImageRef, Iterator[PageResult]], None, None]:
        """Each file with its rows, in the order of the refs.

        The rows of a file must be taken before the next file is asked for. A stop takes effect
        between two files: the rows of a file that has begun come to their end.
        """
        while not self._stop():
            if self._has_room and refs.known(0 if self._files else _LOOK_UP_SECONDS):
                ref = next(refs, None)
                if ref is not None:
                    self._files.append(_File(ref.as_seen()))
                    self._submit_what_fits(self._files[-1])
                    continue
                if not self._files:
                    return
            if self._files and self._first_is_done() and not self._stop():
                file = self._files[0]
                yield file.ref, self._rows(file)
                self._files.popleft()

    def _submit_what_fits(self, file: _File) -> None:
        """Give tasks to the spans of a file, in order; its first one gets one in any case."""
        for span in file.spans:
            if span.task is None and (self._has_room or span is file.spans[0]):
                span.task = self._executor.submit(
                    analyze_pages,
                    file.ref,
                    self._options,
                    span.first,
                    span.most,
                    self._on_page,
                    file.counted.rows if file.counted is not None else None,
                )
                self._under_way += 1

    @property
    def _has_room(self) -> bool:
        return self._under_way < self._executor.capacity

    def _first_is_done(self) -> bool:
        """Wait a little for the first result of the first file."""
        task = self._files[0].spans[0].task
        return task is None or task.wait(_LOOK_UP_SECONDS)

    def _rows(self, file: _File) -> Iterator[PageResult]:
        """As many rows as the file has, however little room there is for the work on them."""
        while file.given < file.rows:
            self._plan(file)
            span = file.spans.popleft()
            assert span.task is not None
            self._under_way -= 1
            while not span.task.wait(_LOOK_UP_SECONDS):
                pass
            for page in self._rows_of_span(file, span, span.task):
                file.given += 1
                yield page
        self._under_way -= sum(span.task is not None for span in file.spans)
        file.spans.clear()

    def _plan(self, file: _File) -> None:
        """Cut the rows that are left into spans: while there is room, and always the next one."""
        while file.planned < file.rows and (self._has_room or not file.spans):
            most = min(_PAGES_AT_A_TIME, file.rows - file.planned)
            file.spans.append(_Span(file.planned + 1, most))
            self._submit_what_fits(file)
        self._submit_what_fits(file)

    def _rows_of_span(self, file: _File, span: _Span, task: Task) -> Iterator[PageResult]:
        """What a task has made of its span; what it left out is planned again."""
        try:
            result: PagesResult = task.result()
        except ImageError as error:
            if span.most > 1:  # one of them; each by itself shows which
                singles = range(span.first, span.last + 1)
                file.spans.extendleft(_Span(page, 1) for page in reversed(singles))
            elif self._stop() and not span.again:  # the workers may have been told to stop too
                file.spans.appendleft(_Span(span.first, 1, again=True))
            else:
                if span.first == 1:
                    file.counted = self._count(file.ref)
                yield lost_page(file.ref, self._options, span.first, file.counted, error)
            return
        if span.first == 1 or result.is_end:
            file.counted = result.count or file.counted
        last = span.first + len(result.pages) - 1
        if last < min(span.last, file.rows):  # they were large, or took long
            file.spans.appendleft(_Span(last + 1, span.last - last))
        yield from result.pages

    def _count(self, ref: ImageRef) -> FileCount | None:
        """What a file gives whose first page took its worker with it, if that can be told."""
        if not may_give_several(ref, self._options):
            return None
        task = self._executor.submit(count_rows, ref, self._options)
        while not task.wait(_LOOK_UP_SECONDS):
            pass
        try:
            counted: FileCount | None = task.result()
        except ImageError:
            return None
        return counted
