"""Keeps the workers of a cluster busy, and does lost tasks again."""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ppcli.engine.cluster.cluster import Cluster, News, Task, WorkerLost
from ppcli.engine.row_flow import RunObserver
from ppcli.errors import ErrorCode, ImageError, PixelpruneError, StoppedError
from ppcli.store.rows import OK

ATTEMPTS = 3
_POLL_SECONDS = 0.2

logger = logging.getLogger("pixelprune")


class _End:
    """Follows the last task."""


_END = _End()


@dataclass(slots=True)
class _Attempt:
    """A task and how it has fared.

    Attributes:
        task: the task.
        number: how often it was given to a worker.
        inputs: finished in the current attempt.
        told: rows of the current attempt that were told.
        logged: rows that were logged, in all attempts.
        failed: failures among them.
    """

    task: Task[Any]
    number: int = 0
    inputs: int = 0
    told: int = 0
    logged: int = 0
    failed: int = 0


@dataclass(slots=True)
class Dispatch:
    """Gives tasks to the workers of a cluster and takes their results, in whatever order they come.

    A message that several workers log is logged once.

    Attributes:
        cluster: has the workers.
        observer: called as tasks progress.
        finish: takes a task and what it returned.
        give_up: takes a task that no worker survived, and why.
        reason_to_stop: returns the error of a run that must end early, from the number of rows of
            running tasks that have failed; None if it goes on.
    """

    cluster: Cluster
    observer: RunObserver
    finish: Callable[[Task[Any], Any], None]
    give_up: Callable[[Task[Any], ImageError], None]
    reason_to_stop: Callable[[int], StoppedError | None]
    _running: dict[int, _Attempt] = field(default_factory=dict, init=False)
    _ready: deque[_Attempt] = field(default_factory=deque, init=False)
    _has_all: bool = field(default=False, init=False)
    _messages: set[str] = field(default_factory=set, init=False)
    _numbers: int = field(default=0, init=False)
    _halt: PixelpruneError | None = field(default=None, init=False)

    def run(self, tasks: Iterator[Task[Any] | None]) -> None:
        """Carry out all tasks. Results that come before a stop are used.

        Args:
            tasks: None where the next one is not known yet.

        Raises:
            StoppedError: the run was asked to stop, or too many inputs failed.
            PixelpruneError: a task raised it, or the cluster cannot work.
        """
        while True:
            if self._halt is None and (reason := self._reason_to_stop()) is not None:
                self._end_early(reason)
            waits = self._halt is None and self._prepare(tasks)
            while self._halt is None and self._ready and self.cluster.free:
                self._give(self._ready.popleft())
                waits = self._prepare(tasks)
            if not self._running and (self._halt is not None or self._has_ended):
                break
            self._handle_events(0 if waits else _POLL_SECONDS)
        if self._halt is not None:
            raise self._halt

    @property
    def _has_ended(self) -> bool:
        return self._has_all and not self._ready

    def _prepare(self, tasks: Iterator[Task[Any] | None]) -> bool:
        """Have one task ready; return whether that took time, and there is none yet."""
        if self._ready or self._has_all:
            return False
        try:
            task = next(tasks, _END)
        except PixelpruneError as error:
            self._end_early(error)
            return False
        if task is None:
            return True
        if isinstance(task, _End):
            self._has_all = True
        else:
            self._ready.append(_Attempt(task))
        return False

    def _reason_to_stop(self) -> StoppedError | None:
        failed = sum(one.failed for one in (*self._running.values(), *self._ready))
        return self.reason_to_stop(failed)

    def _end_early(self, error: PixelpruneError) -> None:
        """Give no more tasks, and take what the workers have finished."""
        self._halt = error
        self.cluster.stop(error.exit_code)

    def _give(self, attempt: _Attempt) -> None:
        attempt.number += 1
        attempt.inputs = attempt.told = 0
        self._numbers += 1
        self._running[self._numbers] = attempt
        self.cluster.give(self._numbers, attempt.task)

    def _handle_events(self, seconds: float) -> None:
        for event in self.cluster.wait(seconds):
            attempt = self._running[event.task_id]
            if isinstance(event.what, WorkerLost):
                del self._running[event.task_id]
                self._lose(attempt, event.node, event.what.reason)
                continue
            self._hear(attempt, event.node, event.what)
            if event.what.outcome is not None:
                del self._running[event.task_id]
                self._end(attempt, event.what)

    def _hear(self, attempt: _Attempt, node: str, news: News) -> None:
        for level, text in news.messages:
            if text not in self._messages:
                self._messages.add(text)
                logger.log(level, "%s: %s", node, text)
        for row in news.rows:
            attempt.told += 1
            if attempt.told > attempt.logged:
                attempt.logged += 1
                attempt.failed += row.status != OK
                self.observer.on_row(row)
        self._count(attempt, news.inputs)

    def _count(self, attempt: _Attempt, inputs: int) -> None:
        attempt.inputs += inputs
        if inputs:
            self.observer.on_inputs(inputs)

    def _end(self, attempt: _Attempt, news: News) -> None:
        assert news.outcome is not None
        error = news.outcome.error
        if error is None:
            self.finish(attempt.task, news.outcome.value)
            error = getattr(news.outcome.value, "error", None)
        if error is not None and self._halt is None:
            self._end_early(error)

    def _lose(self, attempt: _Attempt, node: str, reason: str) -> None:
        """Do a task again whose worker ended, or give it up."""
        self._count(attempt, -attempt.inputs)
        if self._halt is not None:
            return
        if attempt.number < ATTEMPTS:
            logger.warning("%s: %s; %s are done again", node, reason, attempt.task.label)
            self._ready.appendleft(attempt)
            return
        message = f"{reason} ({node}), in {ATTEMPTS} attempts"
        logger.warning("%s: %s", attempt.task.label, message)
        self.give_up(attempt.task, ImageError(ErrorCode.WORKER_DIED, message))
        self._count(attempt, attempt.task.inputs)
