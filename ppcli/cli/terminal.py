"""Standard error for people and log readers, standard output for data."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, BinaryIO

from rich.console import Console
from rich.text import Text

from ppcli.cli.options import LogFormat, logger
from ppcli.cli.usage import wants_json
from ppcli.errors import bounded

_LONGEST_LINE = 2_000
_LONGEST_FIELD = 10_000


class _ConsoleHandler(logging.Handler):
    """Log lines through the console that also draws the progress, so that neither tears."""

    def __init__(self, console: Console, as_json: bool) -> None:
        super().__init__()
        self._console = console
        self.as_json = as_json

    def emit(self, record: logging.LogRecord) -> None:
        message = bounded(record.getMessage(), _LONGEST_LINE)
        if self.as_json:
            line = {
                "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
                "level": record.levelname.lower(),
                "message": message,
                **{name: _field(one) for name, one in getattr(record, "fields", {}).items()},
            }
            message = json.dumps(line)
        self._console.print(Text(message), soft_wrap=True)


def _field(value: Any) -> Any:  # noqa: ANN401
    """A value of a line of JSON: as it is, so that programs know it again, up to a length."""
    if not isinstance(value, str) or len(value) <= _LONGEST_FIELD:
        return value
    return f"{value[:_LONGEST_FIELD]} … ({len(value) - _LONGEST_FIELD:,} characters left out)"


class Terminal:
    """Standard error as one command uses it."""

    def __init__(self, quiet: bool, verbose: bool, log_format: LogFormat) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.quiet = quiet
        self.as_json = log_format is LogFormat.JSON
        logger.handlers = [_ConsoleHandler(self.console, self.as_json)]
        logger.propagate = False
        logger.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO)

    @property
    def draws(self) -> bool:
        """Whether bars are drawn."""
        return not self.quiet and not self.as_json and self.console.is_terminal

    def say(self, sentence: str) -> None:
        """Tell how it went, unless quiet."""
        if self.as_json:
            logger.info("%s", sentence)
        elif not self.quiet:
            self.console.print(Text(bounded(sentence, _LONGEST_LINE)), soft_wrap=True)


def tell_result(fields: dict[str, Any]) -> None:
    """Give the figures that were asked for as a line of JSON, also where all else is quiet."""
    named = logger.name, logging.INFO, __file__, 0, "finished", (), None, None
    logger.handle(logger.makeRecord(*named, {"fields": fields}))


def last_word(message: str, trace: str | None = None) -> None:
    """Say why a command ends the way it does, whether or not its terminal was set up."""
    if trace:
        trace = "\n".join(bounded(line, _LONGEST_LINE) for line in trace.splitlines())
    handler = next((one for one in logger.handlers if isinstance(one, _ConsoleHandler)), None)
    if handler is None and wants_json(sys.argv[1:]):
        Terminal(quiet=False, verbose=False, log_format=LogFormat.JSON)
    if wants_json(sys.argv[1:]) if handler is None else handler.as_json:
        logger.error("%s", message, extra={"fields": {"trace": trace} if trace else {}})
        return
    console = Console(stderr=True, highlight=False)
    if trace:
        console.print(Text(trace), soft_wrap=True)
    console.print(Text(f"pixelprune: {bounded(message, _LONGEST_LINE)}"), soft_wrap=True)


def stdout_is_terminal() -> bool:
    """Whether what is written to standard output is read by a person."""
    return sys.stdout is not None and sys.stdout.isatty()


@contextmanager
def data_on_stdout() -> Iterator[BinaryIO]:
    """Standard output as a binary stream that carries nothing but what is written to it.

    While it is open, whatever else prints to standard output lands on standard error.
    """
    if sys.stdout is None:  # it was closed when the program started
        with open(os.devnull, "wb") as nowhere:
            yield nowhere
        return
    sys.stdout.flush()
    original = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    stream = os.fdopen(original, "wb")
    try:
        yield stream
        stream.flush()
        os.dup2(original, sys.stdout.fileno())
    finally:
        with suppress(OSError):  # of what could not be written, which was said already
            stream.close()
