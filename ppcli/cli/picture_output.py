"""Runs a command that writes pictures: the part that view and reconstruct share."""

from collections.abc import Callable

from ppcli.cli.progress_display import ProgressDisplay
from ppcli.cli.terminal import Terminal
from ppcli.errors import ExitCode, StoppedError, pluralize
from ppcli.jobs.run_control import PicturesResult, RunControl


def write_pictures(
    run: Callable[[RunControl], PicturesResult], terminal: Terminal, noun: str = "picture"
) -> ExitCode:
    """Run a job with a progress bar, and say what was written.

    Args:
        run: the job.
        terminal: where messages go.
        noun: what it writes.

    Raises:
        StoppedError: a signal came.
    """
    stopped: StoppedError | None = None
    with ProgressDisplay(terminal) as progress:
        try:
            result = run(RunControl(progress, handle_signals=True))
        except StoppedError as error:
            if error.result is None:
                raise
            stopped, result = error, error.result
    failed = f", {result.failed:,} failed" if result.failed else ""
    terminal.say(f"{pluralize(result.written, noun)} written to {result.output}{failed}")
    if stopped is not None:
        raise stopped
    return ExitCode.INPUTS_FAILED if result.failed else ExitCode.OK
