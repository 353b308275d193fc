"""`pixelprune analyze`."""

from typing import TYPE_CHECKING, Annotated

from ppcli.cli.log_options import LogOptions
from ppcli.cli.parameters import Defaults
from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.sequence_options import SequenceOptions
from ppcli.engine.engine_options import EngineOptions
from ppcli.engine.worker_options import FailureOptions, WorkerOptions
from ppcli.errors import ExitCode
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.input_options import ColumnOptions, InputOptions
from ppcli.jobs.statistics_options import StatisticsOptions
from ppcli.models.grid_options import GridOptions
from ppcli.store.output_options import GrowingOutputOptions

if TYPE_CHECKING:
    from ppcli.cli.terminal import Terminal
    from ppcli.jobs.analyze import AnalyzeSummary


def analyze(
    inputs: InputOptions,
    columns: ColumnOptions,
    coder: CoderOptions,
    sequence: SequenceOptions,
    grid: GridOptions,
    reading: ReadingOptions,
    output: Annotated[GrowingOutputOptions, Defaults(output="pixelprune-out")],
    statistics: StatisticsOptions,
    workers: WorkerOptions,
    engine: EngineOptions,
    failures: FailureOptions,
    log: LogOptions,
) -> ExitCode:
    """Measure the redundancy of images, and write patch sets."""
    from ppcli import api
    from ppcli.cli.run_command import run_command
    from ppcli.cli.terminal import Terminal

    return run_command(
        lambda control: api.analyze(
            inputs,
            columns=columns,
            output=output,
            coder=coder,
            sequence=sequence,
            grid=grid,
            reading=reading,
            statistics=statistics,
            workers=workers,
            engine=engine,
            failures=failures,
            control=control,
        ),
        _show_summary,
        output,
        Terminal(log),
    )


def _show_summary(summary: "AnalyzeSummary", terminal: "Terminal") -> None:
    from ppcli.cli.summary_table import show_summary  # late: workers start first

    show_summary(summary, terminal)
