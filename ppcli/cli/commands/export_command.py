"""`pixelprune export`."""

from ppcli.cli.log_options import LogOptions
from ppcli.errors import ExitCode
from ppcli.models.onnx.export_options import ExportOptions


def export(options: ExportOptions, log: LogOptions) -> ExitCode:
    """Convert a checkpoint to ONNX. The graphs take only the kept patches."""
    from ppcli import api
    from ppcli.cli.progress_display import ProgressDisplay
    from ppcli.cli.terminal import Terminal
    from ppcli.jobs.run_control import RunControl

    terminal = Terminal(log)
    with ProgressDisplay(terminal) as progress:
        path = api.export(
            options.model,
            options.out_dir,
            dtype=options.dtype,
            weights=options.weights,
            head=options.head,
            revision=options.revision,
            overwrite=options.overwrite,
            download_bars=terminal.draws,
            control=RunControl(progress),
        )
    terminal.say(f"written to {path}")
    return ExitCode.OK
