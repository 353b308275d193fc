"""Progress bars on standard error."""

from types import TracebackType
from typing import TYPE_CHECKING

from ppcli.cli.terminal import Terminal
from ppcli.jobs.run_control import Progress

if TYPE_CHECKING:  # Rich takes a while to load, and workers start first
    from ppcli.cli.progress_bar import ProgressBar


class ProgressDisplay:
    """Draws a bar for each kind of item that is reported, if standard error is a terminal.

    It is a context manager, and the callback `on_progress` of a run.

    Args of the constructor:
        terminal: where bars are drawn.
        hidden: draw nothing, because data goes to the same terminal.
    """

    def __init__(self, terminal: Terminal, hidden: bool = False) -> None:
        self._terminal, self._hidden = terminal, hidden
        self._bar: ProgressBar | None = None
        self._item = ""

    def __enter__(self) -> "ProgressDisplay":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Show how far the run is."""
        if self._hidden or self._terminal.quiet:
            return
        if progress.item != self._item:
            self._start(progress.item)
        if self._bar is not None:
            self._bar.show(progress.done, progress.total)

    def _start(self, item: str) -> None:
        """Import Rich, which the summary needs in any case, while workers start."""
        from ppcli.cli.progress_bar import ProgressBar

        if self._bar is not None:
            self._bar.stop()
        self._item = item
        draws = self._terminal.draws
        self._bar = ProgressBar(self._terminal.console, f"{item}s") if draws else None
