"""Calls about files on other machines: several in one task, which reads their files ahead.

A worker that reads one file after another mostly waits. It gets some calls at a time, works on them
in order, and reads the files of the next ones meanwhile.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ppcli.engine.executors.executor import Executor, Task, TaskLimits
from ppcli.errors import ImageError
from ppcli.files import InputFile
from ppcli.filesystems.patience import LONGEST_READ_SECONDS
from ppcli.inputs.ahead import reading_ahead

_WORK_SECONDS, _MOST_WORK_SECONDS = 1.0, 5.0  # begin no more reads; use no more of those begun
_MOST_SECONDS = 10.0  # with the time of waiting
_QUICK_SECONDS = 0.5
_RESULT_BYTES = 16 << 20
_FIRST_SIZE, _LARGEST_SIZE = 8, 64
# A task is as long as it reads, apart from the time limit of working on an image.
FAR = TaskLimits(allowance=LONGEST_READ_SECONDS + _MOST_SECONDS + _MOST_WORK_SECONDS)
ALL_AT_ONCE = TaskLimits(FAR.allowance, attempts=1)


@dataclass(frozen=True, slots=True)
class AboutFiles:
    """A call, and the files that it opens.

    Attributes:
        function: the function of the call.
        args: its arguments.
        files: on other machines, in the order in which it opens them.
    """

    function: Callable[..., Any]
    args: tuple[object, ...]
    files: tuple[InputFile, ...]


@dataclass(frozen=True, slots=True)
class Results:
    """What the first calls of a task gave; the others were not begun.

    Attributes:
        values: of each call, what it returned, or the `ImageError` that it raised.
        seconds: that the task took.
    """

    values: list[Any]
    seconds: float

    @property
    def nbytes(self) -> int:
        """Approximate size in memory, in bytes."""
        return sum(getattr(value, "nbytes", 0) for value in self.values)


def run_together(calls: Sequence[AboutFiles]) -> Results:
    """Run some calls in order, at least one, while the files of the next ones are read."""
    started = time.perf_counter()
    waited, size = 0.0, 0
    values: list[Any] = []
    with reading_ahead(file for call in calls for file in call.files) as ahead:
        for call in calls:
            seconds = time.perf_counter() - started
            work = seconds - waited
            is_long = work > _WORK_SECONDS or seconds > _MOST_SECONDS or size > _RESULT_BYTES
            ahead.is_open = not is_long
            if (
                values
                and is_long
                and (work > _MOST_WORK_SECONDS or not ahead.has_begun(call.files))
            ):
                break
            waited += ahead.wait(call.files)
            try:
                values.append(call.function(*call.args))
            except ImageError as error:
                values.append(error)
            size += getattr(values[-1], "nbytes", 0)
    return Results(values, time.perf_counter() - started)


@dataclass(slots=True)
class Group:
    """Calls of one task.

    Attributes:
        calls: what the task runs.
        members: of each call, what stands for it.
        task: None until the group is submitted.
        unused: members whose results were not used yet.
    """

    calls: list[AboutFiles] = field(default_factory=list)
    members: "list[GroupedTask]" = field(default_factory=list)
    task: Task | None = None
    unused: int = 0


class GroupedTask:
    """One call of a task with several; an executor's own task if that one did not do it."""

    def __init__(self, together: "Together", group: Group) -> None:
        self._together = together
        self.group = group
        self.running = group  # the one that runs it; another one if its turn did not come
        self.alone: Task | None = None
        self.value: Any = None
        self.has_value = False

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds`; return whether the call has finished.

        Raises:
            StoppedError: if no worker can be started.
        """
        if not self.has_value and self.alone is None:
            self._together.flush()
            task = self.running.task
            if task is None or not task.wait(seconds):
                return False
            self._together.settle(self.running)
        if self.alone is not None:
            return self.alone.wait(seconds)
        return self.has_value

    def result(self) -> Any:  # noqa: ANN401
        """Wait for the call and return its result.

        Raises:
            ImageError: what the call raised, or why its task did not finish.
            StoppedError: if no worker can be started.
        """
        while not self.wait(1.0):
            pass
        if self.alone is not None:
            return self.alone.result()
        if isinstance(self.value, ImageError):
            raise self.value
        return self.value


def is_used_up(task: Task) -> bool:
    """Count the result of a task as used; return whether no call of its group is left."""
    if not isinstance(task, GroupedTask):
        return True
    task.group.unused -= 1
    return not task.group.unused


class Together:
    """Collects calls about far files and submits them as tasks of several.

    The number of calls in a task follows from how many the last ones managed in about a second.

    Args of the constructor:
        executor: runs the tasks.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._open: Group | None = None
        self._size = _FIRST_SIZE

    def takes(self, files: Sequence[InputFile]) -> bool:
        """Return whether a call that opens these far files is to be collected."""
        return bool(files)

    @property
    def is_open(self) -> bool:
        """Whether more calls can join those that were not submitted yet."""
        return self._open is not None

    def add(self, call: AboutFiles, is_last: bool = True) -> GroupedTask:
        """Collect a call; its task is submitted once it is full, or with `flush`.

        Args:
            call: to collect.
            is_last: whether no call has to follow it in its task.
        """
        group = self._open = self._open or Group()
        member = GroupedTask(self, group)
        group.calls.append(call)
        group.members.append(member)
        group.unused += 1
        if self._is_complete(group, is_last):
            self._end_group()
        return member

    def _is_complete(self, group: Group, is_last: bool) -> bool:
        return len(group.calls) >= self._size

    def flush(self, at_end: bool = False) -> None:
        """Submit the calls that were collected.

        Args:
            at_end: whether there will be no more calls.
        """
        self._end_group()

    def _end_group(self) -> None:
        if self._open is not None:
            group, self._open = self._open, None
            self._submit(group)

    def _submit(self, group: Group) -> None:
        calls = tuple(group.calls)
        group.task = self._executor.submit(run_together, calls, limits=ALL_AT_ONCE)

    def settle(self, group: Group) -> None:
        """Hand out what a finished task gave, and submit again what it did not do.

        If the task failed, its calls are submitted one by one, so that one bad image costs one row.
        """
        members, group.members = group.members, []
        if not members:
            return
        assert group.task is not None
        try:
            results: Results = group.task.result()
        except ImageError:
            for member, call in zip(members, group.calls, strict=True):
                member.alone = self._executor.submit(call.function, *call.args, limits=FAR)
            return
        done = len(results.values)
        for member, value in zip(members, results.values, strict=False):
            member.value, member.has_value = value, True
        if done < len(members):
            self._size = max(1, done)
            rest = Group(group.calls[done:], members[done:])
            for member in rest.members:
                member.running = rest
            self._submit(rest)
        elif results.seconds < _QUICK_SECONDS:
            self._size = min(_LARGEST_SIZE, max(self._size, 2 * done))
