"""Renders untrusted chat templates in a subprocess with limits on time and memory.

A template is a program. Jinja's sandbox denies it access to the system, but it can still run
forever or use up the memory. A subprocess can be watched and killed.
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
from ppcli.models.text.template_sandbox import (
    MAX_CHARACTERS,
    MAX_MEMORY,
    compile_template,
    render_template,
)

MAX_SECONDS = 3.0  # CPU time of one rendering; ordinary templates take milliseconds
_POLL_SECONDS = 0.02
_MAX_POLLS = 6000  # about two minutes, for a process that hangs without using CPU time
_MAX_ANSWER = 12 * MAX_CHARACTERS + 1000  # the longest JSON escape is \ud83d\ude42
_STARTER = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); "
    "from ppcli.models.text.template_sandbox import serve_template; serve_template()"
)
_REJECTED = "the chat template rejects the messages"
_NOT_STARTED = "cannot start a process for the chat template"
_TOO_SLOW = f"takes more than {MAX_SECONDS:g} seconds"
_TOO_LARGE = f"uses more than {MAX_MEMORY >> 20} MiB of memory"
_TOO_MUCH = f"writes more than {MAX_CHARACTERS:,} characters"
_DIED = "crashed the process it ran in"
_SMALL_MODEL_TEMPLATE = os.path.join(
    os.path.dirname(__file__), os.pardir, os.pardir, "small_model", "chat_template.jinja"
)


class Renderer(Protocol):
    """A compiled chat template."""

    def check(self) -> None:
        """Check that the template is valid.

        Raises:
            UsageError: the template is invalid; the message says why.
        """

    def __call__(self, variables: Mapping[str, Any]) -> str:
        """Render the template.

        Raises:
            UsageError: the template rejects the variables, or exceeds its time or memory limit.
        """


def make_renderer(template: str) -> Renderer:
    """Return a renderer; an untrusted template gets a process, which starts at once."""
    with open(_SMALL_MODEL_TEMPLATE, encoding="utf-8") as file:
        is_trusted = template == file.read()
    return _InProcessRenderer(template) if is_trusted else SubprocessRenderer(template)


class _InProcessRenderer:
    """Renders the template of the bundled small model, which is trusted."""

    def __init__(self, template: str) -> None:
        self._template = compile_template(template)

    def check(self) -> None:
        """Do nothing: the template is valid."""

    def __call__(self, variables: Mapping[str, Any]) -> str:
        """See `Renderer`."""
        try:
            return render_template(self._template, dict(variables))
        except Exception as error:
            raise UsageError(f"{_REJECTED}: {bounded(str(error))}") from error


class SubprocessRenderer:
    """Renders a template in a subprocess, which is replaced after it was killed.

    Args of the constructor:
        template: source of the template.
    """

    def __init__(self, template: str) -> None:
        self._template = template
        self._lock = threading.Lock()
        self._process: _TemplateProcess | None = _TemplateProcess(template)

    def check(self) -> None:
        """See `Renderer`."""
        self._call(_TemplateProcess.check)

    def __call__(self, variables: Mapping[str, Any]) -> str:
        """See `Renderer`."""
        return self._call(lambda process: process.render(variables))

    def _call(self, function: Callable[["_TemplateProcess"], str]) -> str:
        with self._lock:
            if self._process is None or not self._process.is_usable:
                self._process = _TemplateProcess(self._template)
            try:
                return function(self._process)
            except _KilledError as error:
                self._process = None
                raise UsageError(f"the chat template {error}") from None


class _KilledError(Exception):
    """The process has ended; the text says why."""


class _TemplateProcess:
    """The subprocess of one template, and the thread that watches it."""

    def __init__(self, template: str) -> None:
        try:
            self._process = subprocess.Popen(  # noqa: S603 the arguments are constants
                [sys.executable, "-I", "-c", _STARTER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:  # the limit of processes or files is reached
            raise ModelError(f"{_NOT_STARTED}: {error.strerror}") from error
        self._owner = os.getpid()
        self._watch = _Watchdog(self._process)
        self._end = weakref.finalize(self, _end, self._process, self._watch, self._owner)
        try:
            self._watch.start()
        except RuntimeError as error:  # the limit of threads is reached
            self._end()
            raise ModelError(f"{_NOT_STARTED}: {error}") from error
        self._is_checked = self._is_busy = False
        with suppress(OSError):  # reading the answer reports the failure
            self._send([os.path.abspath(one) for one in sys.path])
            self._send(template)

    @property
    def is_usable(self) -> bool:
        """Whether the process is alive, belongs to this process, and has no unread answer."""
        return not self._watch.reason and not self._is_busy and self._owner == os.getpid()

    def check(self) -> str:
        """Wait for the template to compile; return an empty text."""
        if not self._is_checked:
            self._answer()
            self._is_checked = True
        return ""

    def render(self, variables: Mapping[str, Any]) -> str:
        """Render the template."""
        self.check()
        return self._answer(variables)

    def _answer(self, variables: Mapping[str, Any] | None = None) -> str:
        assert self._process.stdout is not None
        self._is_busy = True
        self._watch.begin()
        try:
            if variables is not None:
                self._send(variables)
            line = self._process.stdout.readline(_MAX_ANSWER)
        except OSError:
            line = b""
        finally:
            self._watch.finish()
        self._is_busy = False
        if not line.endswith(b"\n"):
            self._end()
            raise _KilledError(self._watch.reason or _DIED)
        answer = json.loads(line)
        if "text" in answer:
            text: str = answer["text"]
            return text
        if answer["error"] == "refused":
            raise UsageError(f"{_REJECTED}: {bounded(answer['message'])}")
        self._end()
        raise _KilledError({"text": _TOO_MUCH, "memory": _TOO_LARGE}[answer["error"]])

    def _send(self, content: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(content).encode() + b"\n")
        self._process.stdin.flush()


class _Watchdog:
    """Kills a process that exceeds the time or memory limit within one rendering.

    CPU time counts, so that a busy or suspended machine makes no difference.
    """

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.reason: str | None = None
        self._process = process
        self._running = 0  # number of the current rendering; 0 between renderings
        self._renderings = 0
        self.stop = threading.Event()

    def start(self) -> None:
        """Start watching.

        Raises:
            RuntimeError: the limit of threads is reached.
        """
        threading.Thread(target=self._run, daemon=True).start()

    def begin(self) -> None:
        """Note that a rendering begins."""
        self._renderings += 1
        self._running = self._renderings

    def finish(self) -> None:
        """Note that the rendering has ended."""
        self._running = 0

    def _run(self) -> None:
        current, polls, cpu_before = 0, 0, 0.0
        with suppress(psutil.Error):
            process = psutil.Process(self._process.pid)
            while not self.stop.wait(_POLL_SECONDS):
                running = self._running
                if not running:
                    current = 0
                    continue
                if running != current:
                    current, polls, cpu_before = running, 0, _cpu_seconds(process)
                polls += 1
                self.reason = _exceeded_limit(process, cpu_before, polls)
                if self.reason:
                    self._process.kill()
                    return


def _exceeded_limit(process: psutil.Process, cpu_before: float, polls: int) -> str | None:
    if _cpu_seconds(process) - cpu_before > MAX_SECONDS or polls > _MAX_POLLS:
        return _TOO_SLOW
    return _TOO_LARGE if process.memory_info().rss > MAX_MEMORY else None


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _end(process: "subprocess.Popen[bytes]", watch: _Watchdog, owner: int) -> None:
    if os.getpid() != owner:  # a forked copy of the owner, which still uses the process
        return
    watch.stop.set()
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(OSError):
            pipe.close()
