"""Sets up a run of sweep. Imports little: workers start first."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

from ppcli.coding.coder_options import CoderOptions, warn_of_averages
from ppcli.engine.worker_options import FailureOptions, WorkerOptions
from ppcli.inputs.listing import Listing
from ppcli.jobs.analysis_options import AnalysisOptions, load_kernels, may_be_many_tasks
from ppcli.jobs.image_worker import image_executor
from ppcli.jobs.run_control import ProgressCounter, RunControl, RunResult
from ppcli.jobs.sweep_options import setting_name
from ppcli.store.formats import SETTINGS, Config
from ppcli.store.output_options import OutputOptions
from ppcli.store.rows import SWEEP

if TYPE_CHECKING:
    from ppcli.jobs.sweep import SweepSummary


def run_sweep(
    options: AnalysisOptions,
    settings: Sequence[CoderOptions],
    listing: Listing,
    *,
    output: OutputOptions | None,
    workers: WorkerOptions,
    failures: FailureOptions,
    control: RunControl,
) -> "RunResult[SweepSummary]":
    """Select the tiles of images in several settings; see `ppcli.api.sweep`.

    Args:
        options: how images become rasters; `coder` is the first setting.
        settings: to compare.
        listing: of the images.
        output: where rows are written.
        workers: where tasks run.
        failures: when failed images stop the run.
        control: callbacks and signals.
    """
    for coder in {one.metric: one for one in settings if one.threshold}.values():
        warn_of_averages(coder)
    kernels = partial(_load_kernels, options, settings)
    with closing(image_executor(workers, options.reading.max_image_pixels, kernels)) as executor:
        if (named := listing.named_files) is not None:  # workers start while the rest is imported
            several = any(may_be_many_tasks(ref, options) for ref in named)
            executor.prestart(executor.capacity if several else len(named))

        from ppcli.jobs.run_job import run_job
        from ppcli.jobs.sweep import SweepSummary, SweepWork

        return run_job(
            SweepWork.of(options, executor, settings),
            listing,
            SweepSummary(),
            config=_as_config(options, settings),
            output=output,
            kept=listing.kept_schema(),
            failures=failures,
            max_image_pixels=options.reading.max_image_pixels,
            control=control,
            counter=ProgressCounter(control, "image", listing),
        )


def _load_kernels(options: AnalysisOptions, settings: Sequence[CoderOptions]) -> None:
    """Load what all settings need, so that no image is timed with it."""
    import numpy as np

    from ppcli.coding.selection import select_tiles

    tile = options.fit.tile
    raster = np.zeros((2 * tile, 2 * tile, 3), np.uint8)
    for coder in settings:
        load_kernels(replace(options, coder=coder))
        select_tiles(raster, tile, coder)


def _as_config(options: AnalysisOptions, settings: Sequence[CoderOptions]) -> Config:
    """Return everything that the rows depend on."""
    coder = asdict(options.coder)
    common = {name: value for name, value in options.as_config().items() if name not in coder}
    named = [
        dict(zip(("method", "metric", "asked"), setting_name(one), strict=True)) for one in settings
    ]
    return common | {"rows": SWEEP, "mode": options.coder.mode.value, SETTINGS: named}
