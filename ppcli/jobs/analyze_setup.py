"""Sets up a run of analyze, here or on a cluster. Imports little: workers start first."""

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from ppcli.coding.coder_options import warn_of_averages
from ppcli.coding.sequence_options import MOST_FRAMES, SequenceBy
from ppcli.engine.engine_options import EngineOptions
from ppcli.engine.worker_options import FailureOptions, WorkerOptions
from ppcli.inputs.listing import Listing
from ppcli.inputs.sequences import Sequences
from ppcli.jobs.analysis_options import AnalysisOptions, load_kernels, may_be_many_tasks
from ppcli.jobs.image_worker import image_executor
from ppcli.jobs.run_control import ProgressCounter, RunControl, RunResult
from ppcli.store.output_options import OutputOptions

if TYPE_CHECKING:
    from ppcli.engine.row_flow import Work
    from ppcli.jobs.analyze import AnalyzeSummary
    from ppcli.jobs.cluster_work import ClusterWork


def run_analysis(
    options: AnalysisOptions,
    listing: Listing,
    *,
    output: OutputOptions | None,
    workers: WorkerOptions,
    engine: EngineOptions,
    failures: FailureOptions,
    control: RunControl,
) -> "RunResult[AnalyzeSummary]":
    """Measure the redundancy of images; see `ppcli.api.analyze`."""
    warn_of_averages(options.coder)

    inputs: Listing | Sequences = listing
    if options.sequence.sequence is not None:
        by_folder = options.sequence.sequence_by is not SequenceBy.ALL
        inputs = Sequences(listing, by_folder, MOST_FRAMES)

    def run(work: "Work | ClusterWork") -> "RunResult[AnalyzeSummary]":
        from ppcli.jobs.analyze import AnalyzeSummary
        from ppcli.jobs.run_job import run_job

        return run_job(
            work,
            inputs,
            AnalyzeSummary(),
            config=options.as_config(),
            output=output,
            kept=listing.kept_schema(),
            failures=failures,
            max_image_pixels=options.reading.max_image_pixels,
            control=control,
            counter=ProgressCounter(control, "image", listing),
        )

    if engine.is_cluster:
        from ppcli.engine.cluster.cluster_factory import connect
        from ppcli.jobs.analysis_recipe import AnalysisRecipe
        from ppcli.jobs.cluster_work import ClusterWork, check_cluster_run, local_paths

        check_cluster_run(engine, output, control)
        recipe = AnalysisRecipe(options, workers)
        reads = local_paths(listing.inputs)
        with connect(engine) as connection:
            return run(ClusterWork(recipe, connection.cluster(workers.workers), reads))
    kernels = partial(load_kernels, options)
    with closing(image_executor(workers, options.reading.max_image_pixels, kernels)) as executor:
        if (named := listing.named_files) is not None:  # workers start while the rest is imported
            several = any(may_be_many_tasks(ref, options) for ref in named)
            executor.prestart(executor.capacity if several else len(named))

        from ppcli.jobs.analyze import AnalyzeWork

        return run(AnalyzeWork(options, executor))
