"""Options of messages. Imports little, since `--help` needs them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from ppcli.options import Option, Options


class LogFormat(StrEnum):
    """How messages are written to standard error."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class LogOptions(Options):
    """What a command writes to standard error, and how.

    Attributes:
        log_format: of messages.
        quiet: errors only.
        verbose: debug messages too.
    """

    log_format: Annotated[
        LogFormat,
        Option("Format of messages on standard error: text, or one JSON object per line."),
    ] = LogFormat.TEXT
    quiet: Annotated[
        bool,
        Option(
            "Show errors only: no progress bar, summary or failed inputs.",
            flags=("--quiet", "-q"),
        ),
    ] = False
    verbose: Annotated[bool, Option("Show debug messages.", flags=("--verbose", "-v"))] = False
