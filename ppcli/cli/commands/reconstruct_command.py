"""`pixelprune reconstruct`."""

from ppcli.cli.log_options import LogOptions
from ppcli.errors import ExitCode
from ppcli.jobs.dataset_options import ReconstructOptions


def reconstruct(options: ReconstructOptions, log: LogOptions) -> ExitCode:
    """Rebuild images from patch sets as PNG files, without padding."""
    from ppcli import api
    from ppcli.cli.picture_output import write_pictures
    from ppcli.cli.terminal import Terminal

    return write_pictures(
        lambda control: api.reconstruct(
            options.dataset,
            options.to,
            image_ids=options.image_ids,
            max_image_pixels=options.max_image_pixels,
            overwrite=options.overwrite,
            control=control,
        ),
        Terminal(log),
        "image",
    )
