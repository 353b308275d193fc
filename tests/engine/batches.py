"""Small batches of files, and helpers to run them."""

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ppcli.coding.coder_options import CoderOptions
from ppcli.engine.arrivals import Arrivals
from ppcli.engine.executors.executor import Executor
from ppcli.engine.executors.processes import ProcessExecutor
from ppcli.engine.executors.serial import SerialExecutor
from ppcli.engine.stopping import StopRequest
from ppcli.files import LocalFile
from ppcli.imaging.decode import pillow_limits
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import Fit, Frames
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.analyze import AnalyzeWork
from ppcli.jobs.image_worker import image_worker
from ppcli.jobs.page_analysis import PageResult
from ppcli.store.rows import PatchRow, StatsRow
from tests.conftest import blocks
from tests.engine.hostile_decoder import register

PAD = FitOptions(Fit.PAD, 16, 2, 1, 1 << 24)
FIRST = AnalysisOptions(CoderOptions(), PAD)
ALL = AnalysisOptions(CoderOptions(), PAD, ReadingOptions(Frames.ALL))


def encoded(row_format: str, *seeds: int, **options) -> bytes:
    """Return an image file with one page or frame for each seed."""
    first, *others = [Image.fromarray(blocks(seed=seed)) for seed in seeds]
    several = {"save_all": True, "append_images": others} if others else {}
    stream = BytesIO()
    first.save(stream, row_format, **several, **options)
    return stream.getvalue()


def batch(folder: Path, files: dict[str, bytes]) -> list[ImageRef]:
    """Write files, and return references in the same order."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [ImageRef(LocalFile(str(folder / name)), name) for name in files]


def odd_files() -> dict[str, bytes]:
    """Return files with pages, frames and different modes, some of them broken."""
    noise = np.random.default_rng(0).integers(0, 256, (70, 50, 3), dtype=np.uint8)
    stream = BytesIO()
    Image.fromarray(noise).save(stream, "TIFF")
    pages = encoded("TIFF", *range(20))
    frames = encoded("GIF", *range(5))
    return {
        "a.png": encoded("PNG", 0),
        "b-pages.tif": pages,
        "c-frames.gif": frames,
        "d-truncated.png": encoded("PNG", 1)[:150],
        "e-empty.png": b"",
        "f-frames-truncated.gif": frames[: len(frames) // 2],
        "g.jpg": encoded("JPEG", 2, quality=80),
        "h-text.png": b"this is no image",
        "i-noise.tif": stream.getvalue(),
        "j-pages-truncated.tif": pages[: len(pages) * 2 // 3],
        "k-frames.webp": encoded("WEBP", 3, 4, lossless=True),
        "l.bmp": encoded("BMP", 5),
        "m-pages.tif": encoded("TIFF", 1, 2),
    }


def workers(
    number: int = 2,
    timeout: float = 60.0,
    memory_limit: int | None = None,
    load: Callable[[], None] = register,
) -> ProcessExecutor:
    """Create an executor whose workers have the test decoder."""
    setup = partial(image_worker, 1 << 28, load)
    return ProcessExecutor(number, timeout, memory_limit, setup=setup)


def serial() -> SerialExecutor:
    """Create an executor that decodes images in this process."""
    return SerialExecutor(partial(image_worker, 1 << 28))


def run(
    executor: Executor, refs: Iterable[ImageRef], options: AnalysisOptions = ALL
) -> list[PageResult]:
    """Analyze files and return all results."""
    results: list[PageResult] = []
    with pillow_limits(options.reading.max_image_pixels), closing(executor):
        for _, rows in AnalyzeWork(options, executor).results(Arrivals(iter(refs)), StopRequest()):
            results += rows
    return results


def comparable(results: list[PageResult]) -> list[tuple[StatsRow, PatchRow | None]]:
    """Return everything that must be equal in two runs."""
    return [
        (replace(result.row, decode_ms=None, code_ms=None), result.patches) for result in results
    ]


def outcome(results: list[PageResult]) -> list[tuple[str, str]]:
    """Return the identity of each row, with its error code or status."""
    return [(one.row.image_id, one.row.error_code or one.row.status) for one in results]
