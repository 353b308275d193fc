"""Messages on standard error, for people or as lines of JSON."""

import json
import logging
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ppcli.cli.log_options import LogFormat, LogOptions
from ppcli.errors import bounded

if TYPE_CHECKING:  # Rich takes a while to load, and workers start first
    from rich.console import Console

_MAX_LINE = 2_000
_MAX_FIELD = 10_000

logger = logging.getLogger("pixelprune")


class Terminal:
    """Standard error of one command. Sets up the logger `pixelprune` to write to it.

    Args of the constructor:
        log: what is written, and how.
    """

    def __init__(self, log: LogOptions) -> None:
        self.quiet = log.quiet
        self.as_json = log.log_format is LogFormat.JSON
        level = logging.DEBUG if log.verbose else logging.INFO
        logger.handlers = [_TerminalHandler(self)]
        logger.propagate = False
        logger.setLevel(logging.ERROR if log.quiet else level)

    @cached_property
    def console(self) -> "Console":
        """The console that draws tables and progress bars."""
        return _console()

    @property
    def draws(self) -> bool:
        """Whether progress bars are drawn."""
        return not self.quiet and not self.as_json and self.console.is_terminal

    def say(self, sentence: str) -> None:
        """Write a message, unless quiet."""
        if self.as_json:
            logger.info("%s", sentence)
        elif not self.quiet:
            self.print_line(bounded(sentence, _MAX_LINE))

    def say_json(self, fields: dict[str, Any]) -> None:
        """Write the result of a command as a line of JSON, even if quiet."""
        named = logger.name, logging.INFO, __file__, 0, "finished", (), None, None
        logger.handle(logger.makeRecord(*named, {"fields": fields}))

    def print_line(self, line: str) -> None:
        """Print a line as it is, without markup and line breaks."""
        from rich.text import Text

        self.console.print(Text(line), soft_wrap=True)


class _TerminalHandler(logging.Handler):
    """Prints log lines through the console that also draws the progress bar."""

    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self.terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        message = bounded(record.getMessage(), _MAX_LINE)
        if self.terminal.as_json:
            line = {
                "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
                "level": record.levelname.lower(),
                "message": message,
                **{name: _field(one) for name, one in getattr(record, "fields", {}).items()},
            }
            message = json.dumps(line)
        self.terminal.print_line(message)


def _console() -> "Console":
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def _field(value: Any) -> Any:  # noqa: ANN401
    """Return a value of a line of JSON, cut if it is a very long text."""
    if not isinstance(value, str) or len(value) <= _MAX_FIELD:
        return value
    return f"{value[:_MAX_FIELD]} … ({len(value) - _MAX_FIELD:,} characters left out)"


def say_error(message: str, trace: str | None = None, as_json: bool = False) -> None:
    """Write why a command fails, whether or not its terminal was set up.

    Args:
        message: one sentence.
        trace: a traceback.
        as_json: the format to use before there is a terminal.
    """
    if trace:
        trace = "\n".join(bounded(line, _MAX_LINE) for line in trace.splitlines())
    handlers = [one for one in logger.handlers if isinstance(one, _TerminalHandler)]
    terminal = handlers[0].terminal if handlers else None
    if terminal is None and as_json:
        terminal = Terminal(LogOptions(log_format=LogFormat.JSON))
    if terminal is not None and terminal.as_json:
        logger.error("%s", message, extra={"fields": {"trace": trace} if trace else {}})
        return
    from rich.text import Text

    console = _console()
    for line in filter(None, (trace, f"pixelprune: {bounded(message, _MAX_LINE)}")):
        console.print(Text(line), soft_wrap=True)
