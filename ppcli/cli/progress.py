"""The progress bar of a run."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from typing import Protocol

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from ppcli.cli.terminal import Terminal
from ppcli.inputs.refs import Input


class CountedInputs(Protocol):
    """Inputs that can tell whether they can be gone through twice."""

    @property
    def repeatable(self) -> bool:
        """Whether iterating again gives them again."""

    def __iter__(self) -> Iterator[Input]:
        """The inputs."""


@contextmanager
def progress(
    terminal: Terminal, inputs: CountedInputs, items: str, drawn: bool
) -> Iterator[Callable[[], None]]:
    """Draw a bar, only on a terminal; gives what is to be called after each input."""
    if not (drawn and terminal.draws):
        yield lambda: None
        return
    bar = Progress(
        BarColumn(),
        _Count(items),
        _Rate(items),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=terminal.console,
        transient=True,
    )
    with bar:
        task = bar.add_task(items, total=None)
        if inputs.repeatable:
            _count_in_background(inputs, lambda total: bar.update(task, total=total))
        yield lambda: bar.advance(task)


@contextmanager
def steps(terminal: Terminal, items: str) -> Iterator[Callable[[int, int], None]]:
    """Draw a bar of known length, only on a terminal; is called with how many are done of all."""
    if not terminal.draws:
        yield lambda done, total: None
        return
    with Progress(BarColumn(), _Count(items), console=terminal.console, transient=True) as bar:
        task = bar.add_task(items, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _count_in_background(inputs: CountedInputs, tell: Callable[[int], None]) -> None:
    """Count the inputs beside the run, which itself lists them only as it goes."""

    def count() -> None:
        with suppress(OSError):
            tell(sum(1 for _ in copy(inputs)))

    threading.Thread(target=count, daemon=True).start()


class _Count(ProgressColumn):
    def __init__(self, items: str) -> None:
        super().__init__()
        self._items = items

    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f" of {task.total:,.0f}"
        return Text(f"{task.completed:,.0f}{total} {self._items}")


class _Rate(ProgressColumn):
    def __init__(self, items: str) -> None:
        super().__init__()
        self._items = items

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.1f} {self._items}/s")
