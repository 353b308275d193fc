"""Functions that read images: `analyze`, `sweep` and `view`."""

import os
from typing import TYPE_CHECKING

from ppcli.api.short_forms import Inputs, Path, input_options, named_model, output_options
from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.sequence_options import SequenceOptions
from ppcli.engine.engine_options import EngineOptions
from ppcli.engine.worker_options import VIEW_TIMEOUT, FailureOptions, WorkerOptions
from ppcli.errors import UsageError
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.input_options import ColumnOptions
from ppcli.jobs.dataset_options import PictureOutputOptions, ViewOptions
from ppcli.jobs.run_control import PicturesResult, RunControl, RunResult
from ppcli.jobs.statistics_options import StatisticsOptions
from ppcli.jobs.sweep_options import SweepOptions
from ppcli.models.grid_options import GridOptions
from ppcli.store.formats import ZSTD_LEVEL
from ppcli.store.output_options import GrowingOutputOptions, OutputOptions

if TYPE_CHECKING:
    from ppcli.inputs.listing import Listing
    from ppcli.jobs.analyze import AnalyzeSummary
    from ppcli.jobs.sweep import SweepSummary


def analyze(
    inputs: Inputs,
    *,
    columns: ColumnOptions = ColumnOptions(),
    output: OutputOptions | Path | None = None,
    coder: CoderOptions = CoderOptions(),
    sequence: SequenceOptions = SequenceOptions(),
    grid: GridOptions = GridOptions(),
    reading: ReadingOptions = ReadingOptions(),
    statistics: StatisticsOptions = StatisticsOptions(),
    workers: WorkerOptions = WorkerOptions(),
    engine: EngineOptions = EngineOptions(),
    failures: FailureOptions = FailureOptions(),
    control: RunControl = RunControl(),
) -> "RunResult[AnalyzeSummary]":
    """Measure the redundancy of images, and write patch sets if the output is a folder.

    Args:
        inputs: files, folders and glob patterns.
        columns: columns of data sets that travel into the rows of the output.
        output: a folder or a file; None gives the rows to `control.on_row`, or to the result.
        coder: how tiles are selected.
        sequence: whether images are frames that may repeat tiles of one another.
        grid: how images are fitted to tiles.
        reading: which pages of files are read, and how.
        statistics: what is written besides the statistics.
        workers: worker processes; on a cluster, those of each of its workers.
        engine: where the work is done.
        failures: when failed images stop the run.
        control: callbacks and signals.

    Raises:
        UsageError: an option is invalid, or an input does not exist.
        NothingToDoError: the inputs contain no image.
        OutputError: the output cannot be written, or belongs to another configuration.
        MissingDependencyError: the engine is not installed.
        ServerError: no cluster can be used.
        StoppedError: too many images failed, or a signal came; `result` has the totals so far.
    """
    from ppcli.jobs.analysis_options import AnalysisOptions
    from ppcli.jobs.analyze_setup import run_analysis

    target = output_options(output)
    listing = _listing(inputs, columns, target)
    patches = target is not None and target.is_folder and statistics.patches
    if not patches and statistics.zstd_level != ZSTD_LEVEL:
        raise UsageError("--compression is for patch sets, and this run writes none; leave it out")
    options = AnalysisOptions(
        coder,
        grid.fit_options(),
        reading,
        patches=patches,
        zstd_level=statistics.zstd_level,
        estimate=None if statistics.estimate is None else named_model(statistics.estimate),
        sequence=sequence,
    )
    if sequence.sequence is not None and isinstance(target, GrowingOutputOptions) and target.update:
        raise UsageError(
            "--update cannot be combined with --sequence: frames depend on those next to them, so "
            "new ones change others; write to another folder"
        )
    return run_analysis(
        options,
        listing,
        output=target,
        workers=workers,
        engine=engine,
        failures=failures,
        control=control,
    )


def sweep(
    inputs: Inputs,
    *,
    settings: SweepOptions = SweepOptions(),
    columns: ColumnOptions = ColumnOptions(),
    output: OutputOptions | Path | None = None,
    grid: GridOptions = GridOptions(),
    reading: ReadingOptions = ReadingOptions(),
    workers: WorkerOptions = WorkerOptions(),
    failures: FailureOptions = FailureOptions(),
    control: RunControl = RunControl(),
) -> "RunResult[SweepSummary]":
    """Compare methods and thresholds: decode each image once, and prune it in each setting.

    Args:
        inputs: files, folders and glob patterns.
        settings: methods, metrics and thresholds to compare.
        columns: columns of data sets that travel into the rows of the output.
        output: a folder or a file; None gives the rows to `control.on_row`, or to the result.
        grid: how images are fitted to tiles.
        reading: which pages of files are read, and how.
        workers: worker processes.
        failures: when failed images stop the run.
        control: callbacks and signals.

    Returns:
        The totals, with those of each setting in `summary.settings`. Each page has a row for each
        setting, also if it failed.

    Raises:
        UsageError: an option is invalid, or an input does not exist.
        NothingToDoError: the inputs contain no image.
        OutputError: the output cannot be written, or belongs to another configuration.
        StoppedError: too many images failed, or a signal came; `result` has the totals so far.
    """
    from ppcli.jobs.analysis_options import AnalysisOptions
    from ppcli.jobs.sweep_setup import run_sweep

    target = output_options(output, kind=OutputOptions)
    listing = _listing(inputs, columns, target)
    compared = settings.settings
    return run_sweep(
        AnalysisOptions(compared[0], grid.fit_options(), reading, patches=False),
        compared,
        listing,
        output=target,
        workers=workers,
        failures=failures,
        control=control,
    )


def _listing(inputs: Inputs, columns: ColumnOptions, target: OutputOptions | None) -> "Listing":
    """Return the images that a run finds, after checking what can be checked at once."""
    chosen = input_options(inputs)
    if target is not None:
        target.check_not_read(chosen.files0_from)
        target.check_limit(chosen.limit)
    listing = chosen.listing(None if target is None else target.output, columns.keep_columns)
    listing.check()
    return listing


def view(
    inputs: Inputs,
    *,
    picture: ViewOptions = ViewOptions(),
    coder: CoderOptions = CoderOptions(),
    grid: GridOptions = GridOptions(),
    reading: ReadingOptions = ReadingOptions(),
    output: PictureOutputOptions | Path = PictureOutputOptions(),
    workers: WorkerOptions = WorkerOptions(timeout=VIEW_TIMEOUT),
    control: RunControl = RunControl(),
) -> PicturesResult:
    """Draw images with their pruned tiles faded.

    Args:
        inputs: files, folders and glob patterns; or one dataset of `analyze`, which is drawn as
            it was made.
        picture: what the pictures show.
        coder: how tiles are selected.
        grid: how images are fitted to tiles.
        reading: which pages of files are read, and how.
        output: a folder, or a `.png` file for one image.
        workers: worker processes.
        control: callbacks and signals.

    Raises:
        UsageError: an option is invalid, or an input does not exist.
        NothingToDoError: the inputs contain no image.
        OutputError: a picture cannot be written, or exists.
        DamagedError: a file of the dataset is damaged.
        StoppedError: a signal came; `result` counts the pictures so far.
    """
    from ppcli.jobs.view_setup import view as run_view

    if not isinstance(output, PictureOutputOptions):
        output = PictureOutputOptions(os.fspath(output))
    return run_view(
        input_options(inputs),
        picture=picture,
        coder=coder,
        grid=grid,
        reading=reading,
        output=output,
        workers=workers,
        control=control,
    )
