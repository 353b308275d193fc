"""What the commands of `pixelprune` do, as functions for Python programs.

    from ppcli import CoderOptions, analyze

    result = analyze("scans/", output="statistics.parquet", coder=CoderOptions(threshold=3 / 255))
    print(result.summary.kept, result.failures)

Options that commands share are dataclasses, with the names and defaults of the command line.
Messages go to the logger `pixelprune`; errors are subclasses of `PixelpruneError`. As with
`multiprocessing`, programs need `if __name__ == "__main__":` around calls that start worker
processes; `WorkerOptions(workers=0)` starts none.
"""

from ppcli.api.answers import bench, evaluate, export, infer
from ppcli.api.datasets import VerifyResult, reconstruct, report, verify
from ppcli.api.images import analyze, sweep, view
from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.sequence_options import RequestSequenceOptions, SequenceOptions
from ppcli.engine.engine_options import EngineOptions
from ppcli.engine.worker_options import FailureOptions, WorkerOptions
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.input_options import ColumnOptions, InputOptions, QuestionOptions, RequestOptions
from ppcli.jobs.bench_options import MeasureOptions, RandomModelOptions
from ppcli.jobs.dataset_options import PictureOutputOptions, ViewOptions
from ppcli.jobs.eval_options import AnswerOptions, VariantOptions
from ppcli.jobs.run_control import PicturesResult, Progress, RunControl, RunResult
from ppcli.jobs.statistics_options import StatisticsOptions
from ppcli.jobs.sweep_options import SweepOptions
from ppcli.models.grid_options import GridOptions
from ppcli.models.model_options import GenerationOptions, ModelOptions
from ppcli.models.remote.server_options import ServerOptions
from ppcli.store.output_options import (
    AnswerOutputOptions,
    GrowingOutputOptions,
    OutputOptions,
)

__all__ = [
    "AnswerOptions",
    "AnswerOutputOptions",
    "CoderOptions",
    "ColumnOptions",
    "EngineOptions",
    "FailureOptions",
    "GenerationOptions",
    "GridOptions",
    "GrowingOutputOptions",
    "InputOptions",
    "MeasureOptions",
    "ModelOptions",
    "OutputOptions",
    "PictureOutputOptions",
    "PicturesResult",
    "Progress",
    "QuestionOptions",
    "RandomModelOptions",
    "ReadingOptions",
    "RequestOptions",
    "RequestSequenceOptions",
    "RunControl",
    "RunResult",
    "SequenceOptions",
    "ServerOptions",
    "StatisticsOptions",
    "SweepOptions",
    "VariantOptions",
    "VerifyResult",
    "ViewOptions",
    "WorkerOptions",
    "analyze",
    "bench",
    "evaluate",
    "export",
    "infer",
    "reconstruct",
    "report",
    "sweep",
    "verify",
    "view",
]
