"""What options spell, as the library takes it."""

import re
from collections.abc import Callable

from ppcli.engine.executors.executor import Executor
from ppcli.engine.worker_options import WorkerOptions
from ppcli.errors import UsageError
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import WHITE, Colour, Fit, Frames, PdfImages
from ppcli.imaging.reading_options import PageRanges, ReadingOptions
from ppcli.jobs.image_worker import image_executor
from ppcli.models.families.family_registry import get_preset


def executor_for(
    workers: int | None,
    timeout: float,
    worker_memory: str | None,
    max_image_pixels: int,
    keep_stderr: bool,
    load: Callable[[], None],
) -> Executor:
    """The executor that `--workers` asks for; its workers begin with `load`.

    Raises:
        UsageError: when the memory limit is not a size, or too little for any worker.
    """
    limit = None if worker_memory is None else parse_size(worker_memory)
    options = WorkerOptions(workers, timeout, limit)
    return image_executor(options, max_image_pixels, load, keep_stderr)


def fit_options(
    preset: str,
    fit: Fit,
    patch_size: int | None,
    merge_size: int | None,
    min_pixels: int | None,
    max_pixels: int | None,
) -> FitOptions:
    """The numbers of a preset, each replaced where an option is given.

    Raises:
        UsageError: for an unknown preset, or numbers that no image could meet.
    """
    numbers = get_preset(preset)
    return FitOptions(
        fit,
        numbers.patch_size if patch_size is None else patch_size,
        numbers.merge_size if merge_size is None else merge_size,
        numbers.min_pixels if min_pixels is None else min_pixels,
        numbers.max_pixels if max_pixels is None else max_pixels,
    )


def reading(
    frames: Frames,
    background: str,
    max_image_pixels: int,
    dpi: float,
    pages: str | None,
    pdf_images: PdfImages,
) -> ReadingOptions:
    """How files are read.

    Raises:
        UsageError: for a colour or pages that make no sense.
    """
    ranges = None if pages is None else PageRanges.parse(pages)
    return ReadingOptions(frames, colour(background), max_image_pixels, dpi, ranges, pdf_images)


def parse_batch_size(text: str) -> int | None:
    """How many requests at once; None is for `auto`.

    Raises:
        UsageError: when it is neither.
    """
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--batch-size is {text!r}; it must be auto or a whole number from 1")
    return int(text)


def parse_size(text: str) -> int:
    """A number of bytes written like 500MB or 4G, decimal.

    Raises:
        UsageError: when it is not.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", text.strip(), re.IGNORECASE)
    if match is None:
        raise UsageError(f"{text!r} is not a size; write it like 500MB or 4GB")
    power = " kmgt".index(match[2].lower() or " ")
    return int(float(match[1]) * 1000**power)


def colour(name: str) -> Colour:
    """Red, green and blue of a colour as CSS spells it.

    Raises:
        UsageError: when it is none.
    """
    if name == "white":  # as mostly; Pillow takes a while to load
        return WHITE
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(name)[:3]
    except ValueError:
        raise UsageError(f"{name!r} is not a colour; write it like white or #ffffff") from None
    return red, green, blue
