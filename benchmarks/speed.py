"""The coder, the decoders, the resampler and `analyze`, each against its baseline.

`python benchmarks/speed.py IMAGES [--json FILE] [--only PART]…` prints the table. The README
beside it lists measured figures.
"""

import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import numpy as np
import pillow_way
import pyarrow as pa
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from timing import cold, median_ratio, seconds, warm

from ppcli import keep_mask
from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.distinct import distinct_tiles
from ppcli.coding.patchset import encode
from ppcli.engine.executors.executor import Task
from ppcli.engine.executors.processes import ProcessExecutor
from ppcli.engine.row_flow import RowFlow
from ppcli.engine.run import Run
from ppcli.files import LocalFile
from ppcli.imaging.decode import ImageSource, pillow_limits
from ppcli.imaging.fit import fit_image, smart_resize
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import WHITE, Fit
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.imaging.resample import resample
from ppcli.inputs.listing import Listing
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions, load_kernels
from ppcli.jobs.analyze import AnalyzeSummary, AnalyzeWork
from ppcli.jobs.image_worker import image_worker
from ppcli.jobs.pages import analyze_pages
from ppcli.models.families.family_registry import PRESETS
from ppcli.store.dataset import dataset_output
from ppcli.store.patch_codec import to_patch_row

Raster = NDArray[np.uint8]
Row = tuple[str, str, float]  # what, against what, ratio

PRESET = PRESETS["qwen3-vl"]
TILE = PRESET.patch_size * PRESET.merge_size
MAX_PIXELS = 1 << 28
TAU = 0.03
WORKERS = 2


def rasters(pngs: list[str], fit: Fit = Fit.RESIZE) -> list[Raster]:
    """The files on the grid."""
    return [fit_image(decoded(path), FitOptions.of_preset(PRESET, fit)).raster for path in pngs]


def decoded(path: str) -> Raster:
    """RGB by the decoders of pixelprune."""
    with ImageSource(LocalFile(path).open(), MAX_PIXELS) as source:
        return source.page(1, WHITE)


def coder(pngs: list[str]) -> Iterator[Row]:
    """keep_mask, and the distinct count on top, against a copy of the raster."""
    images = rasters(pngs)
    masks = {id(raster): keep_mask(raster) for raster in images}
    frames = {id(raster): _frame_before(raster) for raster in images}
    work: dict[str, Callable[[Raster], object]] = {
        "copy": lambda raster: raster.copy(),
        "pred_2d, τ = 0": keep_mask,
        "pred_2d, max, τ = 0.03": lambda raster: keep_mask(raster, threshold=TAU),
        "pred_2d, mae, τ = 0.03": lambda raster: keep_mask(raster, metric="mae", threshold=TAU),
        "pred_2d, rmse, τ = 0.03": lambda raster: keep_mask(raster, metric="rmse", threshold=TAU),
        "pred_2d, two_scale, τ = 0.03": lambda raster: keep_mask(
            raster, metric="two_scale", threshold=TAU
        ),
        "pred_2d, τ = auto": lambda raster: keep_mask(raster, threshold="auto"),
        **{
            f"{method}, τ = {tau:g}": partial(keep_mask, method=method, threshold=tau)
            for method in ("pred_2d_flat", "left_or_above", "left_or_above_flat")
            for tau in (0.0, TAU)
        },
        "pred_2d, frame before, τ = 0": lambda raster: keep_mask(raster, before=frames[id(raster)]),
        "pred_2d, frame before, τ = 0.03": lambda raster: keep_mask(
            raster, threshold=TAU, before=frames[id(raster)]
        ),
        "raster, τ = 0": lambda raster: keep_mask(raster, method="raster"),
        "serpentine, τ = 0": lambda raster: keep_mask(raster, method="serpentine"),
        "unique on top": lambda raster: distinct_tiles(
            raster, masks[id(raster)], TILE, CoderOptions()
        ),
    }
    for call in work.values():
        call(images[0])
    for state, times in (("warm", warm(work, images)), ("cold", cold(work, images))):
        for name in list(work)[1:]:
            ratio = median_ratio(times[name], times["copy"])
            yield f"{name}, {state}", f"raster.copy(), {state}", ratio
            same = "pred_2d, τ = 0" if name.endswith("τ = 0") else "pred_2d, max, τ = 0.03"
            yield f"{name}, {state}", f"{same}, {state}", median_ratio(times[name], times[same])


def _frame_before(raster: Raster) -> Raster:
    """A frame of which the lower half differs."""
    half = len(raster) // 2
    return np.concatenate((raster[:half], raster[half:][::-1]))


def decoders(pngs: list[str], jpegs: list[str]) -> Iterator[Row]:
    """Files to RGB arrays, against Pillow."""
    for kind, paths in (("PNG", pngs), ("JPEG", jpegs)):
        times = warm({"pixelprune": decoded, "pillow": pillow_way.decoded}, paths, 3)
        ratio = median_ratio(times["pixelprune"], times["pillow"])
        yield f"decoding {kind}", "Pillow", ratio


def resizing(pngs: list[str]) -> Iterator[Row]:
    """The resampler, against Pillow's bicubic, one call an axis."""
    images = [decoded(path) for path in pngs]
    near = [pixels for pixels in images if _changes_little(pixels)]
    sizes: dict[str, tuple[list[Raster], Callable[[Raster], tuple[int, int]]]] = {
        "fit=resize, within 5 %": (near, _fitted),
        "down to a half": (images, lambda pixels: (pixels.shape[1] // 2, pixels.shape[0] // 2)),
        "up by a half": (images, lambda p: (p.shape[1] * 3 // 2, p.shape[0] * 3 // 2)),
    }
    for name, (items, size_of) in sizes.items():
        cases = [(pixels, Image.fromarray(pixels), size_of(pixels)) for pixels in items]
        times = warm(
            {
                "pixelprune": lambda case: resample(case[0], *case[2]),
                "pillow": lambda case: pillow_way.resized(case[1], *case[2]),
            },
            cases,
            3,
        )
        yield name, "Pillow's bicubic", median_ratio(times["pixelprune"], times["pillow"])


def _fitted(pixels: Raster) -> tuple[int, int]:
    height, width, _ = pixels.shape
    fitted = smart_resize(height, width, TILE, PRESET.min_pixels, PRESET.max_pixels)
    return fitted[1], fitted[0]


def _changes_little(pixels: Raster) -> bool:
    width, height = _fitted(pixels)
    scales = width / pixels.shape[1], height / pixels.shape[0]
    return scales != (1, 1) and all(0.95 <= scale <= 1.05 for scale in scales)


def analyze(files: list[str]) -> Iterator[Row]:
    """The whole of analyze, workers started and kernels loaded, against Pillow's part of it."""
    ways = {
        "statistics only": (Fit.RESIZE, False, pillow_way.decoded_and_fitted, "decode + fit"),
        "with patch sets": (Fit.RESIZE, True, pillow_way.decoded_and_fitted, "decode + fit"),
        "--fit pad, statistics only": (Fit.PAD, False, pillow_way.decoded, "decode"),
    }
    files = files * 4  # long enough for the end of a run not to count
    for name, (fit, patches, baseline, against) in ways.items():
        theirs = _pooled(baseline, files)
        ours = statistics.median(_analyzed(files, fit, patches, WORKERS) for _ in range(3))
        yield f"analyze, {name}", f"Pillow: {against}, same workers", ours / theirs
    one = statistics.median(_analyzed(files, Fit.RESIZE, False, 1) for _ in range(3))
    two = statistics.median(_analyzed(files, Fit.RESIZE, False, 2) for _ in range(3))
    yield "1 worker", "2 workers", one / two


def _pooled(work: Callable[[str], object], files: list[str]) -> float:
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:

        def all_of(items: list[str]) -> list[None]:
            return list(pool.map(pillow_way.nothing_of, [work] * len(items), items))

        all_of(files)
        return statistics.median(seconds(all_of, files) for _ in range(3))


def _analyzed(files: list[str], fit: Fit, patches: bool, workers: int) -> float:
    options = AnalysisOptions(
        CoderOptions(),
        FitOptions.of_preset(PRESET, fit),
        ReadingOptions(max_image_pixels=MAX_PIXELS),
        patches=patches,
    )
    executor = ProcessExecutor(
        workers, 600, setup=partial(image_worker, MAX_PIXELS, partial(load_kernels, options))
    )
    started: list[Task] = [executor.submit(time.sleep, 0.3) for _ in range(2 * workers)]
    first = ImageRef(LocalFile(files[0]), files[0])
    started += [executor.submit(analyze_pages, first, options) for _ in range(4 * workers)]
    while not all(task.wait(0.1) for task in started):
        pass
    for task in started:
        task.result()
    pa.array([0])  # loads pandas, where there is one
    with tempfile.TemporaryDirectory() as folder:
        summary = AnalyzeSummary()
        run = Run(RowFlow(AnalyzeWork(options, executor), summary))
        sink = partial(dataset_output, os.path.join(folder, "out"), options.as_config())
        run.execute(Listing(tuple(files)), sink)
    assert not summary.failed, summary.failures
    return summary.seconds


def pipelines(files: list[str]) -> Iterator[Row]:
    """All of the work on an image, on one core, as a user would have it."""
    import torch_way

    options = AnalysisOptions(CoderOptions(), FitOptions.of_preset(PRESET), patches=False)
    work: dict[str, Callable[[str], object]] = {
        "decode + fit": pillow_way.decoded_and_fitted,
        "analyze": lambda path: analyze_pages(ImageRef(LocalFile(path), path), options),
        "transformers + torch": torch_way.keep_mask,
    }
    for path in files[-2:]:  # JPEGs, which nobody composites: both ways do the same
        kept = analyze_pages(ImageRef(LocalFile(path), path), options).pages[0].row.kept
        assert kept == int(torch_way.keep_mask(path).sum())
    times = warm(work, files, 3)
    for name, of_files in times.items():
        yield f"{name}: ms an image", "one core, median", 1000 * statistics.median(of_files)
    for name in list(work)[1:]:
        yield name, "Pillow: decode + fit", median_ratio(times[name], times["decode + fit"])


def patch_sets(pngs: list[str]) -> Iterator[Row]:
    """Bytes of patch sets against those of optimized PNG and lossless WebP of the same rasters."""
    for fit in Fit:
        sizes: dict[str, list[float]] = {"PNG, optimized": [], "WebP, lossless": []}
        for raster in rasters(pngs[::5], fit):
            row = to_patch_row("", (1, 1), (1, 1), fit, encode(raster, TILE, CoderOptions()), "")
            image = Image.fromarray(raster)
            sizes["PNG, optimized"].append(row.nbytes / _size(image, "PNG", optimize=True))
            sizes["WebP, lossless"].append(row.nbytes / _size(image, "WEBP", lossless=True))
        for against, ratios in sizes.items():
            yield f"bytes of patch sets, --fit {fit}", against, statistics.median(ratios)


def _size(image: Image.Image, kind: str, **options: bool) -> int:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.tell()


def start_up(pngs: list[str]) -> Iterator[Row]:
    """The command itself, and the first run ever (in seconds on top of the second)."""
    command = [sys.executable, "-m", "ppcli"]
    imports = [sys.executable, "-c", "import typer, rich"]
    times = warm({"help": _run, "imports": lambda _: _run(imports)}, [[*command, "--help"]], 9)
    ratio = median_ratio(times["help"], times["imports"])
    yield "pixelprune --help", 'python -c "import typer, rich"', ratio
    with tempfile.TemporaryDirectory() as cache:
        args = [*command, "analyze", "-q", pngs[0], "-o", "-"]
        runs = [seconds(partial(_run, NUMBA_CACHE_DIR=cache), args) for _ in range(3)]
    yield "first run ever, empty cache", "second run: seconds more", runs[0] - min(runs[1:])


def _run(command: list[str], **environment: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | environment)


def main(
    images: Annotated[Path, typer.Argument(help="A folder of PNG and JPEG files.")],
    to_json: Annotated[Path | None, typer.Option("--json", help="Write the rows here too.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this part; repeatable.")] = None,
) -> None:
    """Print what everything costs beside what it is compared with."""
    pngs = sorted(map(str, images.rglob("*.png")))
    jpegs = sorted(map(str, images.rglob("*.jp*g")))
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "coder": lambda: coder(pngs),
        "decoders": lambda: decoders(pngs, jpegs),
        "resizing": lambda: resizing(pngs),
        "analyze": lambda: analyze(pngs + jpegs),
        "pipelines": lambda: pipelines((pngs + jpegs)[::4]),
        "patch-sets": lambda: patch_sets(pngs),
        "start-up": lambda: start_up(pngs),
    }
    table = Table("what", "against", "ratio")
    rows: list[Row] = []
    with pillow_limits(MAX_PIXELS):
        for name in only or parts:
            for row in parts[name]():
                rows.append(row)
                table.add_row(row[0], row[1], f"{row[2]:.2f}")
                Console(stderr=True).print(f"{row[0]} | {row[1]} | {row[2]:.2f}", highlight=False)
    Console().print(table)
    if to_json is not None:
        to_json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    typer.run(main)
