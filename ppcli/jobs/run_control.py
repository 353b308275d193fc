"""How a caller follows a run, and what the run gives back. Imports little: workers start first."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from ppcli.engine.summary import Summary
    from ppcli.store.rows import MainRow

_COUNT_SECONDS = 0.05  # before the first report, which then has the total

SummaryT = TypeVar("SummaryT", bound="Summary")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        item: what is counted, in the singular, such as `image`.
        done: finished items.
        total: all items; None while that is unknown.
    """

    item: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class RunControl:
    """Callbacks of a run, and what it may do to the process that it runs in.

    All callbacks are called in the thread that started the run.

    Attributes:
        on_progress: called at the start, and whenever an item is finished.
        on_row: called with each new row once the output has it.
        on_text: called with each piece of an answer as the model generates it. Requests are then
            answered one after another.
        stdout: stream of rows whose output is `-`; None if standard output is closed.
        handle_signals: finish the files in progress and stop on SIGINT, SIGTERM and SIGHUP.
            Needs the main thread.
    """

    on_progress: Callable[[Progress], None] | None = None
    on_row: Callable[["MainRow"], None] | None = None
    on_text: Callable[[str], None] | None = None
    stdout: BinaryIO | None = None
    handle_signals: bool = False

    def report(self, item: str, done: int, total: int | None) -> None:
        """Call `on_progress`, if there is one."""
        if self.on_progress is not None:
            self.on_progress(Progress(item, done, total))


@dataclass(frozen=True, slots=True)
class RunResult(Generic[SummaryT]):
    """What a run did.

    Attributes:
        summary: its totals.
        output: the file or folder that was written; None for standard output and for none.
        rows: all rows, if there was neither an output nor a callback for them.
    """

    summary: SummaryT
    output: str | None = None
    rows: "list[MainRow]" = field(default_factory=list)

    @property
    def failures(self) -> dict[str, int]:
        """The number of failed rows of each error code."""
        return dict(self.summary.failures)


class CountableInputs(Protocol):
    """Inputs that may be countable ahead of a run."""

    @property
    def repeatable(self) -> bool:
        """Whether they can be iterated twice."""

    def __iter__(self) -> Iterator[object]:
        """The inputs."""


class ProgressCounter:
    """Reports the progress of a run, whose inputs are counted in the background.

    Args of the constructor:
        control: what is reported to.
        item: what an input is called.
        inputs: of the run; a copy of them is counted.
    """

    def __init__(self, control: RunControl, item: str, inputs: CountableInputs) -> None:
        self._control, self._item = control, item
        self._done = 0
        self._total: int | None = None
        if control.on_progress is None:
            return
        if inputs.repeatable:
            thread = threading.Thread(target=self._count, args=[copy(inputs)], daemon=True)
            thread.start()
            thread.join(_COUNT_SECONDS)
        control.report(item, 0, self._total)

    def advance(self, number: int = 1) -> None:
        """Report more finished inputs; fewer, if work on them was lost."""
        self._done += number
        self._control.report(self._item, self._done, self._total)

    def _count(self, inputs: CountableInputs) -> None:
        with suppress(OSError):
            self._total = sum(1 for _ in inputs)


@dataclass(frozen=True, slots=True)
class PicturesResult:
    """What a run did that writes pictures.

    Attributes:
        written: number of pictures.
        failed: number of images without one; the log has the reasons.
        output: the folder, or the file if there is only one picture.
    """

    written: int
    failed: int
    output: str
