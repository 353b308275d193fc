"""The one place that chooses an executor."""

from dataclasses import dataclass

from ppcli.engine.executors.executor import Executor, WorkerSetup
from ppcli.engine.executors.processes import ProcessExecutor
from ppcli.engine.executors.resources import (
    MIN_WORKER_MEMORY,
    available_cores,
    default_worker_memory,
)
from ppcli.engine.executors.serial import SerialExecutor
from ppcli.errors import UsageError

DEFAULT_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class ExecutorOptions:
    """Where and how tasks run.

    Attributes:
        workers: number of worker processes; 0 runs tasks in this process, None starts one worker
            a core.
        timeout: seconds that one task may take in a worker process.
        memory_limit: bytes of data that a worker process may hold; None chooses a limit.
        keep_stderr: whether decoders in worker processes may write to standard error.

    Raises:
        UsageError: if the memory limit is too low for any worker.
    """

    workers: int | None = None
    timeout: float = DEFAULT_TIMEOUT
    memory_limit: int | None = None
    keep_stderr: bool = False

    def __post_init__(self) -> None:
        if self.memory_limit is not None and self.memory_limit < MIN_WORKER_MEMORY:
            raise UsageError(
                f"{self.memory_limit / 1e6:g}MB are too little memory for a worker "
                f"(--worker-memory); use at least {MIN_WORKER_MEMORY // 10**6}MB"
            )


def create_executor(
    options: ExecutorOptions, task_memory: int, setup: WorkerSetup | None = None
) -> Executor:
    """Create the executor that the options choose.

    Args:
        options: chosen by the user.
        task_memory: bytes that the largest task needs.
        setup: prepares each process that runs tasks; must be picklable.
    """
    if options.workers == 0:
        return SerialExecutor(setup)
    workers = available_cores() if options.workers is None else options.workers
    memory_limit = options.memory_limit
    if memory_limit is None:
        memory_limit = default_worker_memory(workers, task_memory)
    return ProcessExecutor(workers, options.timeout, memory_limit, options.keep_stderr, setup)
