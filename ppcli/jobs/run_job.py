"""Runs a job from its inputs to its output: the part that analyze, infer and evaluate share."""

from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from ppcli.engine.row_flow import FailurePolicy, RowFlow, RunObserver, Work
from ppcli.engine.run import Inputs, Run
from ppcli.engine.stopping import StopRequest, stop_on_signals
from ppcli.engine.summary import Summary
from ppcli.engine.worker_options import FailureOptions
from ppcli.errors import ExitCode, StoppedError, UsageError
from ppcli.imaging.decode import pillow_limits
from ppcli.jobs.cluster_work import ClusterWork
from ppcli.jobs.row_log import RowLog
from ppcli.jobs.run_control import ProgressCounter, RunControl, RunResult, SummaryT
from ppcli.store.formats import KEEP_COLUMNS, Config, Format, Kept
from ppcli.store.manifest import main_kind
from ppcli.store.output_options import OutputOptions
from ppcli.store.row_sinks import RowSink, StreamSink
from ppcli.store.rows import MainRow

if TYPE_CHECKING:
    import pyarrow as pa

    from ppcli.engine.cluster.cluster_run import ClusterRun


def run_job(
    work: Work | ClusterWork,
    inputs: Inputs,
    summary: SummaryT,
    *,
    config: Config,
    output: OutputOptions | None,
    kept: "pa.Schema | None" = None,
    failures: FailureOptions,
    max_image_pixels: int,
    control: RunControl,
    counter: ProgressCounter,
) -> RunResult[SummaryT]:
    """Run a job.

    Args:
        work: what is done with each input, here or on a cluster; it is closed at the end.
        inputs: of the run.
        summary: counts the rows.
        config: everything that the rows depend on.
        output: where rows are written; None for the callback, or for the result.
        kept: columns of the inputs that travel with the rows; None for none.
        failures: when failed inputs stop the run.
        max_image_pixels: larger images are not decoded.
        control: callbacks and signals.
        counter: reports finished inputs.

    Raises:
        NothingToDoError: there are no inputs.
        UsageError: a column cannot be kept.
        OutputError: the output cannot be written, or belongs to another configuration.
        StoppedError: a signal came, or too many inputs failed; `result` has what was done so far.
    """
    rows: list[MainRow] = []
    written = None if output is None or output.is_stdout else output.output
    result = RunResult(summary, written, rows)
    keep_rows = output is None and control.on_row is None
    if kept is not None:
        kept, config = _with_kept_columns(kept, config, output)
    open_sink = partial(_open_sink, output, config, control, rows if keep_rows else None, kept)
    policy = FailurePolicy(failures.limit, output is not None and output.retry_failed)
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals()) if control.handle_signals else StopRequest()
        stack.enter_context(pillow_limits(max_image_pixels))
        observer = RunObserver(_RowCallback(control), counter.advance)
        run = _run_of(work, summary, observer, stop, policy)
        try:
            run.execute(inputs, open_sink)
        except StoppedError as error:
            error.result = result
            raise
        except KeyboardInterrupt:
            if not stop():
                raise
            stopped = "interrupted, and stopped at once"  # by the second signal
            raise StoppedError(ExitCode.INTERRUPTED, stopped, result) from None
    return result


def _run_of(
    work: Work | ClusterWork,
    summary: Summary,
    observer: RunObserver,
    stop: StopRequest,
    policy: FailurePolicy,
) -> "Run | ClusterRun":
    if not isinstance(work, ClusterWork):
        return Run(RowFlow(work, summary, observer, stop, policy))
    from ppcli.engine.cluster.cluster_run import ClusterRun  # which imports Arrow

    recipe, open_cluster, reads = work.recipe, work.open_cluster, work.reads
    return ClusterRun(recipe, open_cluster, reads, summary, observer, stop, policy)


def _with_kept_columns(
    fields: "pa.Schema", config: Config, output: OutputOptions | None
) -> tuple["pa.Schema", Config]:
    """Return the schema of kept columns, and the configuration that names them."""
    from ppcli.store.kept_columns import as_setting, kept_schema
    from ppcli.store.schema import own_schema

    if output is not None and output.row_format is Format.OPENAI:
        raise UsageError("--format openai has no place for columns; leave --keep-columns out")
    kept = kept_schema(fields, own_schema(main_kind(config), config).names)
    return kept, config | {KEEP_COLUMNS: as_setting(kept)}


class _RowCallback:
    def __init__(self, control: RunControl) -> None:
        self._on_row, self._log = control.on_row, RowLog()

    def __call__(self, row: MainRow) -> None:
        if self._on_row is not None:
            self._on_row(row)
        self._log(row)


class _RowList:
    """Keeps rows in memory, or nowhere."""

    def __init__(self, rows: list[MainRow] | None) -> None:
        self._rows = rows

    def add(self, row: MainRow, kept: Kept | None = None) -> None:
        if self._rows is not None:
            self._rows.append(row)


def _open_sink(
    output: OutputOptions | None,
    config: Config,
    control: RunControl,
    rows: list[MainRow] | None,
    kept: "pa.Schema | None",
) -> AbstractContextManager[RowSink]:
    if output is not None:
        return output.open(config, control.stdout, kept)
    return nullcontext(StreamSink(_RowList(rows), config))
