"""`pixelprune infer`."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

from ppcli.cli.log_options import LogOptions
from ppcli.cli.parameters import Defaults
from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.sequence_options import RequestSequenceOptions
from ppcli.engine.engine_options import EngineOptions
from ppcli.engine.worker_options import FailureOptions, WorkerOptions
from ppcli.errors import ExitCode
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.input_options import ColumnOptions, InputOptions, RequestOptions
from ppcli.models.model_options import GenerationOptions, ModelOptions
from ppcli.models.remote.server_options import ServerOptions
from ppcli.store.formats import ANSWERS_PER_SHARD
from ppcli.store.output_options import STDOUT, AnswerOutputOptions

if TYPE_CHECKING:
    from ppcli.jobs.run_control import RunControl


def infer(
    inputs: InputOptions,
    columns: ColumnOptions,
    requests: RequestOptions,
    generation: GenerationOptions,
    model: ModelOptions,
    server: ServerOptions,
    coder: CoderOptions,
    sequence: RequestSequenceOptions,
    reading: ReadingOptions,
    output: Annotated[
        AnswerOutputOptions, Defaults(output=STDOUT, rows_per_shard=ANSWERS_PER_SHARD)
    ],
    workers: WorkerOptions,
    engine: EngineOptions,
    failures: FailureOptions,
    log: LogOptions,
) -> ExitCode:
    """Ask a vision-language model about images. It gets only the kept patches."""
    from ppcli import api
    from ppcli.cli.infer_output import show_answers
    from ppcli.cli.run_command import run_command
    from ppcli.cli.terminal import Terminal

    run = partial(
        api.infer,
        inputs,
        columns=columns,
        requests=requests,
        generation=generation,
        model=model,
        server=server,
        coder=coder,
        sequence=sequence,
        reading=reading,
        workers=workers,
        engine=engine,
        failures=failures,
    )
    plain = _plain_answers(inputs, requests, output)
    terminal = Terminal(log)
    if plain is None:
        rows = partial(run, output=output)
        return run_command(lambda control: rows(control=control), show_answers, output, terminal)
    return run_command(lambda control: run(control=plain(control)), show_answers, output, terminal)


def _plain_answers(
    inputs: InputOptions, requests: RequestOptions, output: AnswerOutputOptions
) -> "Callable[[RunControl], RunControl] | None":
    """Return how answers become plain text; None if they become rows."""
    from ppcli.cli.plain_answers import line_by_line, streaming
    from ppcli.cli.standard_streams import stdout_is_terminal

    if not output.is_stdout or output.row_format is not None or not stdout_is_terminal():
        return None
    alone = requests.requests is None and inputs.listing().is_one_file
    return streaming if alone else line_by_line
