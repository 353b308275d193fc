"""Calls about the frames of a sequence: one task for all, since a frame depends on others."""

from collections.abc import Callable, Sequence

from ppcli.engine.executors.executor import Executor
from ppcli.engine.together import ALL_AT_ONCE, AboutFiles, Group, Results, Together
from ppcli.files import InputFile

RunFrames = Callable[[Sequence[AboutFiles]], Results]
"""Runs calls in order, and returns what the first ones gave: at least one, at best all."""


class InSequence(Together):
    """Collects the calls of each sequence, and submits them as one task when it has ended.

    What a task does not do is submitted again, as a sequence of its own. So are the calls of a task
    that failed, one by one.

    Args of the constructor:
        executor: runs the tasks.
        run: what a task does; a function that can be pickled.
    """

    def __init__(self, executor: Executor, run: RunFrames) -> None:
        super().__init__(executor)
        self._run = run

    def takes(self, files: Sequence[InputFile]) -> bool:
        """Return True: near files, too, are frames."""
        return True

    def _is_complete(self, group: Group, is_last: bool) -> bool:
        return is_last

    def flush(self, at_end: bool = False) -> None:
        """Submit what was collected only if no more calls come: a sequence is not cut."""
        if at_end:
            self._end_group()

    def _submit(self, group: Group) -> None:
        calls = tuple(group.calls)
        group.task = self._executor.submit(self._run, calls, limits=ALL_AT_ONCE)
