"""Options of worker processes. Imports little, since `--help` needs them."""

from dataclasses import dataclass

DEFAULT_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Worker processes, which run the tasks of a job.

    Attributes:
        workers: number of processes; 0 works in the calling process; None for the CPU count.
        timeout: seconds that one task may take. Needs workers.
        worker_memory: bytes that each worker may hold; None chooses. Needs workers.
    """

    workers: int | None = None
    timeout: float = DEFAULT_TIMEOUT
    worker_memory: int | None = None
