"""`pixelprune report`."""

import os
from typing import Annotated

import typer

from ppcli.cli.options import (
    LogFormat,
    LogFormatOption,
    OverwriteOption,
    Quiet,
    StoredPixelsOption,
    Verbose,
)
from ppcli.errors import ExitCode, OutputError, UsageError
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.models.families.family_registry import PUBLISHED_SIZES


def report(
    dataset: Annotated[str, typer.Argument(metavar="OUT", help="A folder that analyze wrote.")],
    answers: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="A folder that infer wrote, for the pictures."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help=f"Whose savings: {', '.join(PUBLISHED_SIZES)}, or a folder. "
            "Default: those that fit.",
        ),
    ] = None,
    max_image_pixels: StoredPixelsOption = DEFAULT_MAX_IMAGE_PIXELS,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The page.")
    ] = "report.html",
    overwrite: OverwriteOption = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Write what a dataset shows as one HTML page that opens offline."""
    from ppcli.cli.terminal import Terminal
    from ppcli.jobs.report import figures_of
    from ppcli.models.costs import NamedModel
    from ppcli.show.charts import check_charts
    from ppcli.show.report_page import report_page
    from ppcli.store.atomic import atomic_file
    from ppcli.store.output_paths import check_path

    terminal = Terminal(quiet, verbose, log_format)
    if not output.lower().endswith((".html", ".htm")):
        raise UsageError(f"-o is {output!r}; a report is an .html file")
    check_path(output, "-o")
    if os.path.isdir(output) or (os.path.lexists(output) and not overwrite):
        raise OutputError(f"{output} exists; use --overwrite or another name")
    models = None if model is None else [NamedModel.of(name) for name in dict.fromkeys(model)]
    check_charts()
    page = report_page(figures_of(dataset, models, answers, max_image_pixels))
    try:
        os.makedirs(os.path.dirname(output) or os.curdir, exist_ok=True)
        with atomic_file(output) as file:
            file.write(page.encode())
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror}") from error
    terminal.say(f"Report written to {output}. Open it in a browser: {_file_url(output)}")
    return ExitCode.OK


def _file_url(path: str) -> str:
    from pathlib import Path

    return Path(os.path.abspath(path)).as_uri()
