"""What happens inside a worker process before and beside its work."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import connection

from ppcli.engine.executors.worker_log import send_log

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_HELD_BYTES, _LARGEST_HELD_BYTES = 128 << 20, 32 << 20
_held = contextlib.ExitStack()


def prepare(
    max_image_pixels: int,
    memory_limit: int | None,
    keep_stderr: bool,
    setup: Callable[[], None] | None,
    notes: "connection.Connection[bytes, bytes]",
) -> None:
    """Make a fresh process a worker.

    Standard output belongs to the data of the run, so what a library prints there goes to
    standard error; that in turn is closed to the chatter of decoders unless it is asked for.

    Args:
        max_image_pixels: for Pillow.
        memory_limit: bytes of data the process may hold, where the system can limit that.
        keep_stderr: let decoders write to standard error.
        setup: called last; registers decoders of a program that embeds the run.
        notes: takes what is logged.
    """
    if not keep_stderr:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.dup2(2, 1)
    _die_with_parent()
    send_log(notes)
    _limit_memory(memory_limit)
    _reuse_memory()

    from PIL import Image

    from ppcli.imaging.decode import pillow_limits

    _held.enter_context(pillow_limits(max_image_pixels))
    Image.init()  # loads its formats before the first image is timed
    if setup is not None:
        setup()


def _die_with_parent() -> None:
    """Leave no orphan, also when the parent is killed and cannot stop its workers."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    if sys.platform == "linux":  # at once, also out of a decoder that hangs in C
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _limit_memory(memory_limit: int | None) -> None:
    """Limit the process, and let the system prefer it to its parent when memory runs out."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    if memory_limit is None or sys.platform == "win32":
        return
    import resource

    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    resource.setrlimit(kind, (memory_limit, memory_limit))


def _reuse_memory() -> None:
    """Keep the memory of one image for the next, where the C library can be told to.

    Otherwise it goes back to the system after every image, and each page of it is cleared anew.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_HELD_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _HELD_BYTES)
