"""Runs the command `pixelprune` as a user does, in this process or in a process of its own."""

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryFile
from typing import BinaryIO

import ppcli.__main__

_TAKE_WORKERS = ("analyze", "sweep", "infer", "eval")
# Variables that Python or a library reads once, as it starts.
_READ_AT_START = ("PYTHON", "LC_", "HF_", "NUMBA_", "TMPDIR")
_EXIT_SECONDS = 60.0


def pixelprune(
    *args: str | Path, stdin: bytes | None = None, cwd: Path | None = None, **environment: str
) -> CompletedProcess[bytes]:
    """Run the command in this process, without a terminal.

    The command gets streams, arguments, variables, a folder, signal handlers and loggers of its
    own; all are put back afterwards. Warnings are errors, as in `pixelprune_process`. Commands that
    take `--workers` run without worker processes unless it is given.

    Tests of signals, of closed or broken streams, of memory limits, of what is imported at start
    and of what happens at exit need `pixelprune_process`.

    Args:
        args: The command line after `pixelprune`.
        stdin: What the command reads from a pipe; None for the null device.
        cwd: The working directory.
        environment: Variables to add. Those that are read only at start are refused.

    Returns:
        The exit code and the bytes that the command wrote to its standard streams.

    Raises:
        ValueError: If a variable has no effect on a program that is already running.
    """
    for name in environment:
        if name.startswith(_READ_AT_START):
            raise ValueError(f"{name} is read when a program starts: use pixelprune_process")
    line = list(map(os.fspath, args))
    if line and line[0] in _TAKE_WORKERS and not {"--workers", "--help"} & set(line):
        line[1:1] = ["--workers", "0"]
    resource_tracker.ensure_running()  # it would keep the streams of the command
    with TemporaryFile() as stdout, TemporaryFile() as stderr:
        with (
            _process_state([ppcli.__main__.__file__, *line], cwd, environment),
            _standard_input(stdin) as read_end,
            _descriptors(read_end, stdout.fileno(), stderr.fileno()),
            _text_streams(),
        ):
            code = _exit_code()
        stdout.seek(0)
        stderr.seek(0)
        return CompletedProcess(line, code, stdout.read(), stderr.read())


def pixelprune_process(
    *args: str | Path, stdin: bytes | None = None, cwd: Path | None = None, **environment: str
) -> CompletedProcess[bytes]:
    """Run the command in a process of its own, without a terminal."""
    return subprocess.run(
        command_line(args),
        check=False,
        input=stdin,
        stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True,
        cwd=cwd,
        env=os.environ | environment,
    )


def command_line(args: Sequence[str | Path]) -> list[str]:
    """Return the command that runs `pixelprune` with these arguments."""
    return [sys.executable, "-W", "error", "-m", "ppcli", *map(os.fspath, args)]


def _exit_code() -> int:
    """Run the entry point and end as the interpreter does."""
    before = set(threading.enumerate())
    try:
        ppcli.__main__.main()
        code = 0
    except SystemExit as ending:
        code = 0 if ending.code is None else ending.code
        assert isinstance(code, int), code
    except BaseException:
        traceback.print_exc()
        code = 1
    for thread in set(threading.enumerate()) - before:
        if not thread.daemon:
            thread.join(_EXIT_SECONDS)
            assert not thread.is_alive(), f"{thread} would keep the program from ending"
    assert multiprocessing.active_children() == []
    try:
        sys.stdout.flush()
    except OSError:
        code = 120
    return code


@contextmanager
def _process_state(
    argv: list[str], cwd: Path | None, environment: dict[str, str]
) -> Iterator[None]:
    """Restore arguments, folder, variables, signal handlers and loggers after a block."""
    handlers = {number: signal.getsignal(number) for number in _ending_signals()}
    variables, folder, modules = dict(os.environ), os.getcwd(), dict(sys.modules)
    saved = sys.argv[:], sys.warnoptions[:]
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        for name in (None, "pixelprune"):
            stack.enter_context(_fresh_logger(logging.getLogger(name)))
        try:
            warnings.simplefilter("error")
            sys.argv[:], sys.warnoptions[:] = argv, ["error"]
            sys.modules["__main__"] = ppcli.__main__  # which worker processes import
            for number in handlers:
                default = number == signal.SIGINT
                signal.signal(number, signal.default_int_handler if default else signal.SIG_DFL)
            os.environ.update(environment)
            if cwd is not None:
                os.chdir(cwd)
            yield
        finally:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(variables)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            sys.modules["__main__"] = modules["__main__"]
            sys.argv[:], sys.warnoptions[:] = saved


def _ending_signals() -> list[signal.Signals]:
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


@contextmanager
def _fresh_logger(logger: logging.Logger) -> Iterator[None]:
    before = logger.handlers, logger.level, logger.propagate
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET if logger.parent else logging.WARNING)
    try:
        yield
    finally:
        logger.handlers, _, logger.propagate = before
        logger.setLevel(before[1])


@contextmanager
def _standard_input(content: bytes | None) -> Iterator[int]:
    """Open a descriptor to read the content from: a pipe, or the null device."""
    if content is None:
        with open(os.devnull, "rb") as nothing:
            yield nothing.fileno()
        return
    read_end, write_end = os.pipe()
    writer = threading.Thread(target=_write_all, args=(os.fdopen(write_end, "wb"), content))
    writer.start()
    try:
        yield read_end
    finally:
        os.close(read_end)
        writer.join()


def _write_all(pipe: BinaryIO, content: bytes) -> None:
    with suppress(BrokenPipeError), pipe:
        pipe.write(content)


@contextmanager
def _descriptors(*sources: int) -> Iterator[None]:
    """Redirect the descriptors 0, 1 and 2 inside a block."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    before = [os.dup(number) for number in range(len(sources))]
    try:
        for number, source in enumerate(sources):
            os.dup2(source, number)
        yield
    finally:
        for number, descriptor in enumerate(before):
            os.dup2(descriptor, number)
            os.close(descriptor)


@contextmanager
def _text_streams() -> Iterator[None]:
    """Open `sys.stdin`, `sys.stdout` and `sys.stderr` anew, as a fresh interpreter does."""
    before = sys.stdin, sys.stdout, sys.stderr
    as_text = partial(open, encoding="utf-8", closefd=False)
    sys.stdin, sys.stdout = as_text(0), as_text(1, "w")
    sys.stderr = as_text(2, "w", buffering=1, errors="backslashreplace")
    try:
        yield
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        sys.stdin, sys.stdout, sys.stderr = before
