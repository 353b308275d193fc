"""`pixelprune reconstruct`."""

from typing import Annotated

import typer

from ppcli.cli.options import LogFormat, LogFormatOption, Quiet, Verbose, logger
from ppcli.errors import ExitCode, NothingToDoError, counted


def reconstruct(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="OUT", help="A folder that analyze wrote, or one of its patch files."
        ),
    ],
    to: Annotated[str, typer.Option(metavar="DIR", help="Where the PNG files go.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that stand there.")
    ] = False,
    log_format: LogFormatOption = LogFormat.TEXT,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> ExitCode:
    """Turn patch sets back into PNG files, padding cropped."""
    from ppcli.cli.terminal import Terminal
    from ppcli.run.reconstruct import reconstruct as run_reconstruct

    terminal = Terminal(quiet, verbose, log_format)
    written = failed = 0
    for rebuilt in run_reconstruct(dataset, to, overwrite):
        if rebuilt.error is None:
            written += 1
            logger.debug("%s", rebuilt.path)
        else:
            failed += 1
            logger.warning("%s: %s", rebuilt.image_id, rebuilt.error)
    if not written + failed:
        raise NothingToDoError(f"{dataset} holds no patch sets")
    terminal.say(f"{counted(written, 'image')} written to {to}, {failed:,} failed")
    return ExitCode.INPUTS_FAILED if failed else ExitCode.OK
