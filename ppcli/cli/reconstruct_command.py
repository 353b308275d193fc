"""`pixelprune reconstruct`."""

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
from ppcli.errors import ExitCode, NothingToDoError, pluralize, with_subject
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS


def reconstruct(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="OUT", help="A folder that analyze wrote, or one of its patch files."
        ),
    ],
    to: Annotated[str, typer.Option(metavar="DIR", help="Where the PNG files go.")],
    image_id: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this image; may be repeated.")
    ] = None,
    max_image_pixels: StoredPixelsOption = DEFAULT_MAX_IMAGE_PIXELS,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace earlier images of the same names.")
    ] = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Turn patch sets back into PNG files, padding cropped."""
    from ppcli.cli.progress import steps
    from ppcli.cli.terminal import Terminal
    from ppcli.jobs.reconstruct import reconstruct as run_reconstruct
    from ppcli.store.output_paths import check_folder

    check_folder(to, "--to", "it gets a .png file for each image")
    terminal = Terminal(quiet, verbose, log_format)
    written = failed = 0
    with steps(terminal, "images") as on_image:
        for rebuilt in run_reconstruct(
            dataset, to, overwrite, image_id, max_image_pixels, on_image
        ):
            if rebuilt.error is None:
                written += 1
                logger.debug("%s", rebuilt.path)
                continue
            failed += 1
            logger.warning("%s", with_subject(rebuilt.image_id, rebuilt.error))
    if not written + failed:
        raise NothingToDoError(f"{dataset} holds no patch sets")
    images = pluralize(written, "image")
    terminal.say(f"{images} written to {to}" + (f", {failed:,} failed" if failed else ""))
    return ExitCode.INPUTS_FAILED if failed else ExitCode.OK
