"""Chat templates of strangers: each is rendered in a process with bounds on time and memory.

A template is a program. Jinja's sandbox keeps it from reaching out, not from running for ever or
from taking all memory, in ways too many to name; a process can be watched, and ended.
"""

import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import psutil

from ppcli.errors import ModelError, UsageError, bounded
from ppcli.models.text.template import MOST_CHARACTERS, MOST_MEMORY, compiled, rendered

MOST_SECONDS = 3.0  # of a processor; an ordinary template takes a thousandth of one
_LOOK_SECONDS = 0.02
_MOST_LOOKS = 6000  # a process that does nothing is not waited for much longer than two minutes
_LONGEST_ANSWER = 12 * MOST_CHARACTERS + 1000  # JSON writes no character longer than \ud83d\ude42
_STARTER = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
    "from ppcli.models.text.template import serve; serve()"
)
_REFUSED = "the chat template refuses the message"
_NOT_STARTED = "the process of the chat template cannot be started"
_TOO_LONG = f"takes more than {MOST_SECONDS:g} seconds"
_TOO_LARGE = f"takes more than {MOST_MEMORY >> 20} MiB of memory"
_TOO_MUCH = f"writes more than {MOST_CHARACTERS:,} characters"
_DIED = "ends the process that it runs in"
_OURS = os.path.join(
    os.path.dirname(__file__), os.pardir, os.pardir, "small_model", "chat_template.jinja"
)


class Renderer(Protocol):
    """What a chat template has become."""

    def check(self) -> None:
        """See that it is a template.

        Raises:
            UsageError: saying what is wrong with it.
        """

    def __call__(self, given: Mapping[str, Any]) -> str:
        """What the template makes of what it is given.

        Raises:
            UsageError: when it refuses, or takes too much time or memory.
        """


def renderer_of(template: str) -> Renderer:
    """A template of anybody; its process, if it gets one, is on its way then."""
    with open(_OURS, encoding="utf-8") as file:
        return _Here(template) if template == file.read() else ChildRenderer(template)


class _Here:
    """The template of our own small model."""

    def __init__(self, template: str) -> None:
        self._template = compiled(template)

    def check(self) -> None:
        """It is one."""

    def __call__(self, given: Mapping[str, Any]) -> str:
        """See `Renderer`."""
        try:
            return rendered(self._template, dict(given))
        except Exception as error:
            raise UsageError(f"{_REFUSED}: {bounded(str(error))}") from error


class ChildRenderer:
    """A template in a process of its own; a new one takes the place of one that was ended.

    Args of the constructor:
        template: as it is written.
    """

    def __init__(self, template: str) -> None:
        self._template = template
        self._lock = threading.Lock()
        self._child: _Child | None = _Child(template)

    def check(self) -> None:
        """See `Renderer`."""
        self._ask(_Child.check)

    def __call__(self, given: Mapping[str, Any]) -> str:
        """See `Renderer`."""
        return self._ask(lambda child: child.rendered(given))

    def _ask(self, question: Callable[["_Child"], str]) -> str:
        with self._lock:
            if self._child is None or not self._child.is_usable:
                self._child = _Child(self._template)
            try:
                return question(self._child)
            except _EndedError as error:
                self._child = None
                raise UsageError(f"the chat template {error}") from None


class _EndedError(Exception):
    """The process is there no more; the text says why."""


class _Child:
    """The process of one template, and the thread that watches it."""

    def __init__(self, template: str) -> None:
        try:
            self._process = subprocess.Popen(  # noqa: S603 nothing of a stranger's is in it
                [sys.executable, "-I", "-c", _STARTER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:  # no more processes or files
            raise ModelError(f"{_NOT_STARTED}: {error.strerror}") from error
        self._owner = os.getpid()
        self._watch = _Watch(self._process)
        self._end = weakref.finalize(self, _end, self._process, self._watch, self._owner)
        try:
            self._watch.start()
        except RuntimeError as error:  # no more threads
            self._end()
            raise ModelError(f"{_NOT_STARTED}: {error}") from error
        self._is_checked = self._is_asked = False
        with suppress(OSError):  # what became of it shows when its answer is read
            self._send([os.path.abspath(one) for one in sys.path])
            self._send(template)

    @property
    def is_usable(self) -> bool:
        """Whether it is there still, and ours, and no answer is on its way that nobody read."""
        return not self._watch.reason and not self._is_asked and self._owner == os.getpid()

    def check(self) -> str:
        """See that it is a template."""
        if not self._is_checked:
            self._answer()
            self._is_checked = True
        return ""

    def rendered(self, given: Mapping[str, Any]) -> str:
        """What the template makes of what it is given."""
        self.check()
        return self._answer(given)

    def _answer(self, given: Mapping[str, Any] | None = None) -> str:
        assert self._process.stdout is not None
        self._is_asked = True
        self._watch.begin()
        try:
            if given is not None:
                self._send(given)
            line = self._process.stdout.readline(_LONGEST_ANSWER)
        except OSError:
            line = b""
        finally:
            self._watch.finish()
        self._is_asked = False
        if not line.endswith(b"\n"):
            self._end()
            raise _EndedError(self._watch.reason or _DIED)
        answer = json.loads(line)
        if "text" in answer:
            text: str = answer["text"]
            return text
        if answer["error"] == "refused":
            raise UsageError(f"{_REFUSED}: {bounded(answer['message'])}")
        self._end()
        raise _EndedError({"text": _TOO_MUCH, "memory": _TOO_LARGE}[answer["error"]])

    def _send(self, content: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(content).encode() + b"\n")
        self._process.stdin.flush()


class _Watch:
    """Ends a process that takes too much time or memory for one rendering.

    Time is that of the processor, so that neither a busy machine nor a stop counts.
    """

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.reason: str | None = None
        self._process = process
        self._running = 0  # the number of the rendering, 0 between them
        self._renderings = 0
        self.stop = threading.Event()

    def start(self) -> None:
        """Look on from now on.

        Raises:
            RuntimeError: when there can be no more threads.
        """
        threading.Thread(target=self._look_on, daemon=True).start()

    def begin(self) -> None:
        """A rendering begins."""
        self._renderings += 1
        self._running = self._renderings

    def finish(self) -> None:
        """The rendering is done."""
        self._running = 0

    def _look_on(self) -> None:
        seen, looks, before = 0, 0, 0.0
        with suppress(psutil.Error):
            process = psutil.Process(self._process.pid)
            while not self.stop.wait(_LOOK_SECONDS):
                running = self._running
                if not running:
                    seen = 0
                    continue
                if running != seen:
                    seen, looks, before = running, 0, _cpu_seconds(process)
                looks += 1
                self.reason = _excess(process, before, looks)
                if self.reason:
                    self._process.kill()
                    return


def _excess(process: psutil.Process, before: float, looks: int) -> str | None:
    if _cpu_seconds(process) - before > MOST_SECONDS or looks > _MOST_LOOKS:
        return _TOO_LONG
    return _TOO_LARGE if process.memory_info().rss > MOST_MEMORY else None


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _end(process: "subprocess.Popen[bytes]", watch: _Watch, owner: int) -> None:
    if os.getpid() != owner:  # a copy of the owner, whose process goes on
        return
    watch.stop.set()
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(OSError):
            pipe.close()
