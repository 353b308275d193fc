"""A worker of a cluster, as the process on its machine sees it."""

import logging
import os
import platform
import queue
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from ppcli.engine.cluster.cluster import News, NodeSetup, Order, Outcome, Task
from ppcli.engine.stopping import StopRequest
from ppcli.errors import MAX_MESSAGE_LENGTH, PixelpruneError, bounded, internal_error
from ppcli.store.rows import MainRow

logger = logging.getLogger("pixelprune")
_MOST_ROWS = 10_000  # that wait for being sent; a worker pauses beyond


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a new worker tells.

    Attributes:
        node: name of its machine.
        problem: why it cannot take part in the run; an empty text if it can.
    """

    node: str
    problem: str


class NodeWorker:
    """Runs tasks one after another, in a thread, and tells how far it is.

    One thread runs all tasks, since worker processes end with the thread that started them.

    Args of the constructor:
        start: how it gets ready, below which level log messages are dropped, and how many
            processor cores it has.
    """

    def __init__(self, start: tuple[NodeSetup[Any], int, int]) -> None:
        self._setup, log_level, self._cores = start
        self._tasks: queue.SimpleQueue[Task[Any]] = queue.SimpleQueue()
        self._stop = StopRequest()
        self._news = _News(log_level <= logging.DEBUG)
        self._thread: threading.Thread | None = None
        logger.handlers = [_NewsHandler(self._news)]
        logger.propagate = False
        logger.setLevel(log_level)

    def facts(self) -> NodeFacts:
        """Return what the run must know before it gives a task."""
        return NodeFacts(platform.node(), self._setup.problem())

    def step(self, order: Order) -> News:
        """Take an order, and return what has happened since the last one."""
        self._stop.exit_code = order.stop
        if order.task is not None:
            self._news.begin()
            self._tasks.put(order.task)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, daemon=True)
                self._thread.start()
        return self._news.take(order.seconds)

    def _serve(self) -> None:
        with ExitStack() as stack:
            context: list[Any] = []
            while True:
                task = self._tasks.get()
                try:
                    if not context:
                        opened = self._setup.opened(self._news, self._stop, self._cores)
                        context.append(stack.enter_context(opened))
                    outcome = Outcome(task.run(context[0]))
                except Exception as error:
                    outcome = Outcome(error=_for_people(error))
                except BaseException:  # sys.exit in a library would end this thread alone
                    os._exit(1)
                self._news.end(outcome)


def _for_people(error: Exception) -> PixelpruneError:
    """Return an error that can be sent: an own one, or one that asks for a bug report."""
    if isinstance(error, PixelpruneError):
        return error
    logger.debug("%s", error, exc_info=True)
    return PixelpruneError(str(internal_error(error)))


@dataclass(slots=True)
class _News:
    """Collects what a worker tells, until it is asked."""

    wants_all_rows: bool
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _inputs: int = 0
    _rows: list[MainRow] = field(default_factory=list)
    _messages: list[tuple[int, str]] = field(default_factory=list)
    _outcome: Outcome | None = None

    def begin(self) -> None:
        with self._changed:
            self._outcome = None

    def add_row(self, row: MainRow) -> None:
        with self._changed:
            while len(self._rows) >= _MOST_ROWS:
                self._changed.wait()
            self._rows.append(row)

    def add_inputs(self, number: int) -> None:
        with self._changed:
            self._inputs += number

    def add_message(self, level: int, text: str) -> None:
        with self._changed:
            self._messages.append((level, text))

    def end(self, outcome: Outcome) -> None:
        with self._changed:
            self._outcome = outcome
            self._changed.notify_all()

    def take(self, seconds: float) -> News:
        """Wait up to `seconds` for the end of the task, and return what there is."""
        with self._changed:
            self._changed.wait_for(lambda: self._outcome is not None, seconds)
            news = News(self._inputs, self._rows, self._messages, self._outcome)
            self._inputs, self._rows, self._messages = 0, [], []
            self._changed.notify_all()
        return news


class _NewsHandler(logging.Handler):
    def __init__(self, news: _News) -> None:
        super().__init__()
        self._news = news

    def emit(self, record: logging.LogRecord) -> None:
        self._news.add_message(record.levelno, bounded(record.getMessage(), MAX_MESSAGE_LENGTH))
