"""`pixelprune view`."""

from typing import Annotated

import typer

from ppcli.cli.log_options import LogOptions
from ppcli.cli.parameters import Defaults
from ppcli.coding.coder_options import CoderOptions
from ppcli.engine.worker_options import VIEW_TIMEOUT, WorkerOptions
from ppcli.errors import ExitCode, UsageError
from ppcli.filesystems.schemes import without_secrets
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.input_options import InputOptions
from ppcli.jobs.dataset_options import PictureOutputOptions, ViewOptions
from ppcli.models.grid_options import GridOptions

_FOR_DATASETS = frozenset(
    {
        *("inputs", "image_ids", "side_by_side", "grid", "output", "overwrite"),
        *("max_image_pixels", "log_format", "quiet", "verbose"),
    }
)


def view(
    context: typer.Context,
    inputs: InputOptions,
    picture: ViewOptions,
    coder: CoderOptions,
    grid: GridOptions,
    reading: ReadingOptions,
    output: PictureOutputOptions,
    workers: Annotated[WorkerOptions, Defaults(timeout=VIEW_TIMEOUT)],
    log: LogOptions,
) -> ExitCode:
    """Draw images with their pruned tiles faded. Takes images, or a dataset of analyze."""
    from ppcli import api
    from ppcli.cli.picture_output import write_pictures
    from ppcli.cli.terminal import Terminal
    from ppcli.jobs.stored_images import is_dataset

    if len(inputs.inputs) == 1 and is_dataset(inputs.inputs[0]):
        _check_for_dataset(context, inputs.inputs[0])
    return write_pictures(
        lambda control: api.view(
            inputs,
            picture=picture,
            coder=coder,
            grid=grid,
            reading=reading,
            output=output,
            workers=workers,
            control=control,
        ),
        Terminal(log),
    )


def _check_for_dataset(context: typer.Context, dataset: str) -> None:
    """Refuse options for images: those of a dataset are decoded, fitted and pruned already."""
    given = [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in _FOR_DATASETS
        and (source := context.get_parameter_source(name)) is not None
        and source.name != "DEFAULT"
    ]
    if given:
        raise UsageError(
            f"{without_secrets(dataset)} is a dataset, which is drawn as it was made; "
            f"leave out {', '.join(given)}, or name the images"
        )
