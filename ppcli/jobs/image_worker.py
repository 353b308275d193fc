"""Executors whose processes are prepared for work on images. Imports little: workers import it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ppcli.engine.executors.executor import Executor
    from ppcli.engine.worker_options import WorkerOptions

_BYTES_PER_PIXEL = 20  # of the largest image, with the copies that decoding and fitting make
_BASE_BYTES = 1 << 30


def image_executor(
    options: "WorkerOptions",
    max_image_pixels: int,
    load: Callable[[], None],
) -> "Executor":
    """Create an executor for tasks that decode images.

    Decoders in worker processes write to standard error only if debug messages are logged.

    Args:
        options: where and how tasks run.
        max_image_pixels: of the largest image that is decoded.
        load: called in each process before its first task, to load what all tasks need; must be
            picklable.
    """
    from ppcli.engine.executors.factory import create_executor

    setup = partial(image_worker, max_image_pixels, load)
    keep_stderr = logging.getLogger("pixelprune").isEnabledFor(logging.DEBUG)
    return create_executor(options, image_memory(max_image_pixels), setup, keep_stderr)


def image_memory(max_image_pixels: int) -> int:
    """Return the bytes of memory that decoding and fitting an image of that size takes."""
    return _BASE_BYTES + _BYTES_PER_PIXEL * max_image_pixels


@contextmanager
def image_worker(max_image_pixels: int, load: Callable[[], None] | None = None) -> Iterator[None]:
    """Prepare this process to decode images; release what tasks leave open at the end.

    Args:
        max_image_pixels: limit of Pillow.
        load: called last.
    """
    from PIL import Image

    from ppcli.imaging.decode import pillow_limits
    from ppcli.imaging.page_cache import close_kept_source

    with pillow_limits(max_image_pixels):
        Image.init()  # load the formats before the first image is timed
        if load is not None:
            load()
        try:
            yield
        finally:
            close_kept_source()
