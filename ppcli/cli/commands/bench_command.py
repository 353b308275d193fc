"""`pixelprune bench`."""

from typing import Annotated

from ppcli.cli.log_options import LogOptions
from ppcli.cli.parameters import Defaults
from ppcli.coding.coder_options import CoderOptions
from ppcli.errors import ExitCode
from ppcli.inputs.input_options import InputOptions
from ppcli.jobs.bench_options import (
    BENCH_IMAGES,
    BenchOutputOptions,
    MeasureOptions,
    RandomModelOptions,
)
from ppcli.models.model_options import ModelOptions
from ppcli.models.remote.server_options import ServerOptions


def bench(
    inputs: Annotated[InputOptions, Defaults(limit=BENCH_IMAGES)],
    model: ModelOptions,
    random_weights: RandomModelOptions,
    server: ServerOptions,
    coder: CoderOptions,
    measure: MeasureOptions,
    output: BenchOutputOptions,
    log: LogOptions,
) -> ExitCode:
    """Measure how much faster pruning makes a model."""
    from ppcli import api
    from ppcli.cli.bench_output import show_result
    from ppcli.cli.progress_display import ProgressDisplay
    from ppcli.cli.standard_streams import data_on_stdout
    from ppcli.cli.terminal import Terminal
    from ppcli.jobs.bench_json import figures_output
    from ppcli.jobs.run_control import RunControl

    terminal = Terminal(log)
    with data_on_stdout() as stream, figures_output(output, stream) as write:
        with ProgressDisplay(terminal) as progress:
            result = api.bench(
                inputs,
                model=model,
                random_weights=random_weights,
                server=server,
                coder=coder,
                measure=measure,
                control=RunControl(progress),
            )
        if result.setting:  # something was measured
            show_result(result, terminal)
            write(result)
    return ExitCode.INPUTS_FAILED if result.failures else ExitCode.OK
