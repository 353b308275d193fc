"""Options of workers, and of when failures stop a run. Imports little, for `--help`."""

import re
from dataclasses import dataclass
from typing import Annotated, ClassVar

from ppcli.errors import UsageError
from ppcli.options import Option, Options

DEFAULT_TIMEOUT = 60.0
VIEW_TIMEOUT = 120.0  # drawing takes longer than measuring


def parse_size(text: str) -> int:
    """Parse a number of bytes such as `500MB` or `4G`; the prefixes are decimal.

    Raises:
        UsageError: the text is not a size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", text.strip(), re.IGNORECASE)
    if match is None:
        raise UsageError(f"{text!r} is not a size; write it like 500MB or 4GB")
    power = " kmgt".index(match[2].lower() or " ")
    return int(float(match[1]) * 1000**power)


@dataclass(frozen=True, slots=True)
class WorkerOptions(Options):
    """Worker processes, which decode and prune images.

    Attributes:
        workers: number of processes; 0 works in the calling process; None for the CPU count.
        timeout: seconds for one image, or for all images of one request. Needs workers.
        worker_memory: bytes of each worker; None chooses. Needs workers.
    """

    panel: ClassVar = "Run"

    workers: Annotated[
        int | None,
        Option("Worker processes (0: run in-process). Default: CPU count.", metavar="N", min=0),
    ] = None
    timeout: Annotated[
        float,
        Option(
            "Time limit for one image, or for all images of a request.",
            metavar="SECONDS",
            min=0.001,
        ),
    ] = DEFAULT_TIMEOUT
    worker_memory: Annotated[
        int | None,
        Option(
            "Memory limit of each worker, such as 4GB. Default: an equal share of 75% of memory.",
            metavar="SIZE",
            parse=parse_size,
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class FailureOptions(Options):
    """When a run stops because inputs failed.

    Attributes:
        max_failures: stop after this many failed inputs; None for never.
        fail_fast: stop at the first one.
    """

    panel: ClassVar = "Run"

    max_failures: Annotated[
        int | None, Option("Stop after N failed inputs.", metavar="N", min=1)
    ] = None
    fail_fast: Annotated[bool, Option("Stop at the first failed input.")] = False

    @property
    def limit(self) -> int | None:
        """The number of failures that stops a run; None for no limit."""
        return 1 if self.fail_fast else self.max_failures
