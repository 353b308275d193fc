"""The one place that chooses an executor."""

from ppcli.engine.executors.executor import Executor, WorkerSetup
from ppcli.engine.executors.processes import ProcessExecutor
from ppcli.engine.executors.resources import (
    MIN_WORKER_MEMORY,
    available_cores,
    default_worker_memory,
)
from ppcli.engine.executors.serial import SerialExecutor
from ppcli.engine.worker_options import WorkerOptions
from ppcli.errors import UsageError


def create_executor(
    options: WorkerOptions,
    task_memory: int,
    setup: WorkerSetup | None = None,
    keep_stderr: bool = False,
) -> Executor:
    """Create the executor that the options choose.

    Args:
        options: chosen by the user.
        task_memory: bytes that the largest task needs.
        setup: prepares each process that runs tasks; must be picklable.
        keep_stderr: whether decoders in worker processes may write to standard error.

    Raises:
        UsageError: if the memory limit is too low for any worker.
    """
    _check_memory(options.worker_memory)
    if options.workers == 0:
        return SerialExecutor(setup)
    workers = available_cores() if options.workers is None else options.workers
    memory = options.worker_memory or default_worker_memory(workers, task_memory)
    return ProcessExecutor(workers, options.timeout, memory, keep_stderr, setup)


def _check_memory(limit: int | None) -> None:
    if limit is not None and limit < MIN_WORKER_MEMORY:
        raise UsageError(
            f"{limit / 1e6:g}MB are too little memory for a worker (--worker-memory); "
            f"use at least {MIN_WORKER_MEMORY // 10**6}MB"
        )
