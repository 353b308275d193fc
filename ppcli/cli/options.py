"""What several commands take. Imports little: it is there before `--help` is."""

import logging
from enum import StrEnum
from typing import Annotated

import typer

STDOUT = "-"

logger = logging.getLogger("pixelprune")


class LogFormat(StrEnum):
    """How messages are written to standard error."""

    TEXT = "text"
    JSON = "json"


Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress, no table, no line for a failed image.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more about what is done.")]
LogFormatOption = Annotated[
    LogFormat, typer.Option(help="Messages on standard error as text or as lines of JSON.")
]
