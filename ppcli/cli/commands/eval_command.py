"""`pixelprune eval`."""

from functools import partial
from typing import Annotated

from ppcli.cli.log_options import LogOptions
from ppcli.cli.parameters import Defaults
from ppcli.engine.worker_options import FailureOptions, WorkerOptions
from ppcli.errors import ExitCode
from ppcli.inputs.input_options import QuestionOptions
from ppcli.jobs.eval_options import AnswerOptions, VariantOptions
from ppcli.models.model_options import ModelOptions
from ppcli.models.remote.server_options import ServerOptions
from ppcli.store.formats import SCORES_PER_SHARD
from ppcli.store.output_options import OutputOptions


def evaluate(
    questions: QuestionOptions,
    model: ModelOptions,
    server: ServerOptions,
    answers: AnswerOptions,
    variants: VariantOptions,
    output: Annotated[
        OutputOptions, Defaults(output="pixelprune-eval", rows_per_shard=SCORES_PER_SHARD)
    ],
    workers: WorkerOptions,
    failures: FailureOptions,
    log: LogOptions,
) -> ExitCode:
    """Score a model's answers about whole images, pruned images, and controls of equal size."""
    from ppcli import api
    from ppcli.cli.eval_output import show_scores
    from ppcli.cli.run_command import run_command
    from ppcli.cli.terminal import Terminal

    run = partial(
        api.evaluate,
        questions,
        variants=variants,
        model=model,
        server=server,
        answers=answers,
        output=output,
        workers=workers,
        failures=failures,
    )
    return run_command(lambda control: run(control=control), show_scores, output, Terminal(log))
