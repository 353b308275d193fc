"""`pixelprune verify`."""

from typing import Annotated

import typer

from ppcli.cli.options import (
    LogFormat,
    LogFormatOption,
    Quiet,
    StoredPixelsOption,
    Verbose,
    logger,
)
from ppcli.errors import ExitCode, pluralize
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS


def verify(
    path: Annotated[
        str,
        typer.Argument(
            metavar="OUT",
            help="A folder that analyze, infer or export wrote, or a .parquet file of theirs.",
        ),
    ],
    data: Annotated[
        bool, typer.Option("--data", help="Rebuild every raster and compare its digest.")
    ] = False,
    max_image_pixels: StoredPixelsOption = DEFAULT_MAX_IMAGE_PIXELS,
    log_format: LogFormatOption = LogFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Check that a dataset or a model directory still holds what it held."""
    from ppcli.cli.terminal import Terminal
    from ppcli.models.onnx.directory import changed_files, is_model_directory
    from ppcli.store.verify import verify as run_verify

    terminal = Terminal(quiet, verbose, log_format)
    if is_model_directory(path):
        changed = changed_files(path)
        for sentence in changed:
            logger.error("%s", sentence)
        terminal.say(f"a model directory: {pluralize(len(changed), 'fault')}")
        return ExitCode.DAMAGED if changed else ExitCode.OK
    report = run_verify(path, data, max_image_pixels)
    for sentence in report.damage:
        logger.error("%s", sentence)
    rasters = f", {pluralize(report.rasters, 'raster')} rebuilt" if data else ""
    state = "" if report.finished else "; its run has not come to its end"
    if report.leftovers:
        state += f"; {report.leftovers:,} unfinished files, which resuming removes"
    terminal.say(
        f"{pluralize(report.files, 'file')}, {pluralize(report.rows, 'row')}, "
        f"{pluralize(report.patch_sets, 'patch set')}{rasters}: "
        f"{pluralize(len(report.damage), 'fault')}{state}"
    )
    return ExitCode.DAMAGED if report.damage else ExitCode.OK
