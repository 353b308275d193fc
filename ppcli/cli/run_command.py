"""Runs a command that writes rows: the part that analyze, infer and eval share."""

import os
from collections.abc import Callable
from typing import TypeVar

from ppcli.cli.progress_display import ProgressDisplay
from ppcli.cli.standard_streams import data_on_stdout, stdout_is_terminal
from ppcli.cli.terminal import Terminal
from ppcli.errors import ExitCode, StoppedError, pluralize
from ppcli.filesystems.schemes import without_secrets
from ppcli.jobs.run_control import RunControl, RunResult, SummaryT
from ppcli.store.output_options import OutputOptions
from ppcli.store.output_paths import partial_folder, resume_hint

_Result = TypeVar("_Result")


def run_command(
    run: Callable[[RunControl], RunResult[SummaryT]],
    show: Callable[[SummaryT, Terminal], None],
    output: OutputOptions,
    terminal: Terminal,
) -> ExitCode:
    """Run a job with a progress bar, show its summary, and say where the rows are.

    Args:
        run: the job.
        show: prints the summary.
        output: of the job.
        terminal: where messages go.

    Raises:
        StoppedError: the run was stopped; the message says how to continue.
    """
    stopped: StoppedError | None = None
    hidden = output.is_stdout and stdout_is_terminal()  # a bar would tear the rows
    with data_on_stdout() as stream, ProgressDisplay(terminal, hidden) as progress:
        try:
            result = run(RunControl(progress, stdout=stream, handle_signals=True))
        except StoppedError as error:
            if error.result is None:
                raise
            stopped, result = error, error.result
    summary = result.summary
    show(summary, terminal)
    if stopped is not None:
        raise StoppedError(stopped.exit_code, f"{stopped}; {_advice(output)}")
    if summary.earlier_failed and not output.retry_failed:
        failures = pluralize(summary.earlier_failed, "failure")
        terminal.say(f"{failures} from an earlier run; --retry-failed processes them again")
    if not output.is_stdout:
        terminal.say(f"written to {without_secrets(output.output)}")
    return ExitCode.INPUTS_FAILED if summary.failed else ExitCode.OK


def _advice(output: OutputOptions) -> str:
    """Return what happened to the rows of a run that was stopped."""
    if output.is_stdout:
        return "the rows so far are written"
    resumed = resume_hint(output.overwrite)
    if output.is_folder:
        return resumed
    partial = partial_folder(output.output)
    if not os.path.isdir(partial):
        return f"{output.output} is not written"
    return f"the rows so far are kept in {partial}; {resumed}"
