"""The progress bar of a run."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ppcli.cli.terminal import Terminal
from ppcli.inputs.listing import Listing


@contextmanager
def progress(terminal: Terminal, listing: Listing) -> Iterator[Callable[[], None]]:
    """Draw a bar, only on a terminal; gives what is to be called after each input."""
    if terminal.quiet or terminal.as_json or not terminal.console.is_terminal:
        yield lambda: None
        return
    bar = Progress(
        BarColumn(),
        _Count(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=terminal.console,
        transient=True,
    )
    with bar:
        task = bar.add_task("images", total=None)
        if listing.repeatable:
            _count_in_background(listing, lambda total: bar.update(task, total=total))
        yield lambda: bar.advance(task)


def _count_in_background(listing: Listing, tell: Callable[[int], None]) -> None:
    """Count the inputs beside the run, which itself lists them only as it goes."""

    def count() -> None:
        with suppress(OSError):
            tell(sum(1 for _ in replace(listing)))

    threading.Thread(target=count, daemon=True).start()


class _Count(ProgressColumn):
    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f" of {task.total:,.0f}"
        return Text(f"{task.completed:,.0f}{total} images")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.1f} images/s")
