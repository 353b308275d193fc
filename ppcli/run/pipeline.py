"""Many files under way, results in input order, memory bounded by what is under way."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ppcli.errors import ImageError
from ppcli.inputs.refs import ImageRef
from ppcli.run.analysis import (
    AnalysisOptions,
    PageResult,
    PagesResult,
    analyze_pages,
    count_rows,
    lost_page,
    may_give_several,
)
from ppcli.run.executors import Executor, Task

_PAGES_AT_A_TIME = 16
_LOOK_UP_SECONDS = 0.1


@dataclass(slots=True)
class _Span:
    """Some pages of a file that a task is at."""

    first: int
    most: int
    task: Task


@dataclass(slots=True)
class _File:
    """A file under way: its first page tells how many there are, then the others follow."""

    ref: ImageRef
    spans: deque[_Span] = field(default_factory=deque)
    rows: int = 1
    submitted: int = 0


class Pipeline:
    """Analyzes files in an executor.

    Args of the constructor:
        executor: where the work is done.
        options: what the rows depend on.
        stop_requested: asked now and then; once it says so, no further file is begun.
    """

    def __init__(
        self,
        executor: Executor,
        options: AnalysisOptions,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> None:
        self._executor = executor
        self._options = options
        self._stop_requested = stop_requested
        self._files: deque[_File] = deque()

    def run(self, refs: Iterator[ImageRef]) -> Iterator[tuple[ImageRef, Iterator[PageResult]]]:
        """Each file with its rows, in the order of the refs.

        The rows of a file must be taken before the next file is asked for. A stop takes effect
        between two files: the rows of a file that has begun come to their end.
        """
        exhausted = False
        while True:
            while not exhausted and self._under_way() < self._executor.capacity:
                ref = next(refs, None)
                if ref is None or self._stop_requested():
                    exhausted = True
                else:
                    self._begin(ref)
            if not self._files or not self._wait_for_first():
                return
            file = self._files[0]
            yield file.ref, self._rows(file)
            self._files.popleft()

    def _under_way(self) -> int:
        return sum(len(file.spans) for file in self._files)

    def _begin(self, ref: ImageRef) -> None:
        file = _File(ref)
        self._files.append(file)
        self._submit(file, 1, 1)

    def _submit(self, file: _File, first: int, most: int) -> None:
        task = self._executor.submit(analyze_pages, file.ref, self._options, first, most)
        file.spans.append(_Span(first, most, task))
        file.submitted = max(file.submitted, first + most - 1)

    def _wait_for_first(self) -> bool:
        """Wait for the first result of the first file; whether it is there before a stop."""
        while not self._files[0].spans[0].task.done(_LOOK_UP_SECONDS):
            if self._stop_requested():
                return False
        return not self._stop_requested()

    def _rows(self, file: _File) -> Iterator[PageResult]:
        while file.spans:
            span = file.spans.popleft()
            while not span.task.done(_LOOK_UP_SECONDS):
                pass
            yield from self._rows_of_span(file, span)
            while file.submitted < file.rows and self._under_way() < self._executor.capacity:
                most = min(_PAGES_AT_A_TIME, file.rows - file.submitted)
                self._submit(file, file.submitted + 1, most)

    def _rows_of_span(self, file: _File, span: _Span) -> Iterator[PageResult]:
        try:
            result: PagesResult = span.task.result()
        except ImageError as error:
            if span.most > 1:  # one of them; each by itself shows which
                self._redo(file, span.first, span.first + span.most, 1)
                return
            if span.first == 1:
                file.rows = self._count_rows(file.ref)
            yield lost_page(file.ref, self._options, span.first, file.rows, error)
            return
        file.rows = result.rows_of_file
        yield from result.pages
        last = span.first + len(result.pages) - 1
        if last >= file.rows:
            file.spans.clear()
            file.submitted = file.rows
        elif len(result.pages) < span.most:  # their patch sets were large
            missing = span.first + span.most - last - 1
            self._redo(file, last + 1, last + 1 + missing, missing)

    def _redo(self, file: _File, first: int, end: int, step: int) -> None:
        """Submit pages again, ahead of the later ones of the file."""
        later = list(file.spans)
        file.spans.clear()
        for page in range(first, end, step):
            self._submit(file, page, min(step, end - page))
        file.spans.extend(later)

    def _count_rows(self, ref: ImageRef) -> int:
        """How many rows a file gives whose first page took its worker with it."""
        if not may_give_several(ref, self._options):
            return 1
        task = self._executor.submit(count_rows, ref, self._options)
        while not task.done(_LOOK_UP_SECONDS):
            pass
        try:
            return int(task.result())
        except ImageError:
            return 1
