"""`pixelprune sweep`."""

from typing import TYPE_CHECKING, Annotated

from ppcli.cli.log_options import LogOptions
from ppcli.cli.parameters import Defaults
from ppcli.engine.worker_options import FailureOptions, WorkerOptions
from ppcli.errors import ExitCode
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.input_options import ColumnOptions, InputOptions
from ppcli.jobs.sweep_options import SweepOptions
from ppcli.models.grid_options import GridOptions
from ppcli.store.output_options import OutputOptions

if TYPE_CHECKING:
    from ppcli.cli.terminal import Terminal
    from ppcli.jobs.sweep import SweepSummary


def sweep(
    inputs: InputOptions,
    columns: ColumnOptions,
    settings: SweepOptions,
    grid: GridOptions,
    reading: ReadingOptions,
    output: Annotated[OutputOptions, Defaults(output="pixelprune-sweep")],
    workers: WorkerOptions,
    failures: FailureOptions,
    log: LogOptions,
) -> ExitCode:
    """Compare methods and thresholds: decode each image once, and prune it in each setting."""
    from ppcli import api
    from ppcli.cli.run_command import run_command
    from ppcli.cli.terminal import Terminal

    return run_command(
        lambda control: api.sweep(
            inputs,
            settings=settings,
            columns=columns,
            output=output,
            grid=grid,
            reading=reading,
            workers=workers,
            failures=failures,
            control=control,
        ),
        _show_settings,
        output,
        Terminal(log),
    )


def _show_settings(summary: "SweepSummary", terminal: "Terminal") -> None:
    from ppcli.cli.sweep_output import show_settings  # late: workers start first

    show_settings(summary, terminal)
