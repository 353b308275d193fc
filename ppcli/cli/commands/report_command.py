"""`pixelprune report`."""

from ppcli.cli.log_options import LogOptions
from ppcli.errors import ExitCode
from ppcli.jobs.dataset_options import ReportOptions


def report(options: ReportOptions, log: LogOptions) -> ExitCode:
    """Write an HTML report about a dataset. It is one file that opens offline."""
    from pathlib import Path

    from ppcli import api
    from ppcli.cli.progress_display import ProgressDisplay
    from ppcli.cli.terminal import Terminal
    from ppcli.jobs.run_control import RunControl

    terminal = Terminal(log)
    with ProgressDisplay(terminal) as progress:
        path = api.report(
            options.dataset,
            options.output,
            answers=options.answers,
            models=options.model or None,
            max_image_pixels=options.max_image_pixels,
            overwrite=options.overwrite,
            control=RunControl(progress),
        )
    url = Path(path).absolute().as_uri()
    terminal.say(f"Report written to {path}. Open it in a browser: {url}")
    return ExitCode.OK
