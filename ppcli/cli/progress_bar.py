"""The progress bar that Rich draws."""

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text


class ProgressBar:
    """A bar with counts, rate and remaining time. It is drawn until `stop` is called.

    Args of the constructor:
        console: where it is drawn.
        items: what is counted, in the plural.
    """

    def __init__(self, console: Console, items: str) -> None:
        columns = BarColumn(), _Count(items), _Rate(items), _TimeLeft()
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task(items, total=None)
        self._bar.start()

    def show(self, done: int, total: int | None) -> None:
        """Set the counts."""
        self._bar.update(self._task, completed=done, total=total)

    def stop(self) -> None:
        """Remove the bar."""
        self._bar.stop()


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


class _TimeLeft(TimeRemainingColumn):
    def render(self, task: Task) -> Text:
        """Show nothing while the time is unknown: `0 images left` would read as an empty run."""
        if task.time_remaining is None:
            return Text("")
        return super().render(task).append(" left")
