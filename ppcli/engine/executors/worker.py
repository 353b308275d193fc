"""What a worker process does before its first task."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing import connection

from ppcli.engine.executors.executor import WorkerSetup
from ppcli.engine.executors.worker_log import send_log

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_TRIM_BYTES, _MMAP_BYTES = 128 << 20, 32 << 20
_context = contextlib.ExitStack()  # never left: a worker is stopped, and does not end by itself


def prepare_worker(
    memory_limit: int | None,
    keep_stderr: bool,
    setup: WorkerSetup | None,
    log: "connection.Connection[bytes, bytes]",
) -> None:
    """Turn a new process into a worker.

    Standard output carries the data of the run, so whatever a library prints there goes to
    standard error, which is closed by default because decoders write to it.

    Args:
        memory_limit: bytes of data the process may hold, where the system can limit that.
        keep_stderr: whether decoders may write to standard error.
        setup: entered last.
        log: receives log messages.
    """
    if not keep_stderr:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.dup2(2, 1)
    _end_with_parent()
    send_log(log)
    _limit_memory(memory_limit)
    _reuse_memory()
    if setup is not None:
        _context.enter_context(setup())


def _end_with_parent() -> None:
    """End this process when its parent ends, even if the parent is killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if sys.platform == "linux":  # also ends a decoder that hangs in C code
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _limit_memory(memory_limit: int | None) -> None:
    """Limit the memory, and make the process the first to be killed when memory runs out."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    if memory_limit is None or sys.platform == "win32":
        return
    import resource

    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    resource.setrlimit(kind, (memory_limit, memory_limit))


def _reuse_memory() -> None:
    """Keep the memory of one image for the next one, where the C library allows it.

    By default it is returned to the system after every image, and the system has to clear each
    page of it again.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
