"""A run, and what is said around it: the part that `analyze` and `infer` share."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from ppcli.cli.options import logger
from ppcli.cli.progress import CountedInputs, progress
from ppcli.cli.target import Target
from ppcli.cli.terminal import Terminal, stdout_is_terminal
from ppcli.engine.run import FailurePolicy, Inputs, Run, RunObserver, Work
from ppcli.engine.stopping import stop_on_signals
from ppcli.engine.summary import Summary
from ppcli.errors import ExitCode, StoppedError
from ppcli.store.row_sinks import RowSink
from ppcli.store.rows import FULL, MainRow, ScoreRow

_Summary = TypeVar("_Summary", bound=Summary)


class RunInputs(Inputs, CountedInputs, Protocol):
    """What a run goes through, with a bar that may know its end."""


def carry_out(
    work: Work,
    inputs: RunInputs,
    open_sink: Callable[[], AbstractContextManager[RowSink]],
    target: Target,
    terminal: Terminal,
    summary: _Summary,
    show: Callable[[_Summary, Terminal], None],
    policy: FailurePolicy,
) -> ExitCode:
    """Run, draw the progress, show the table, and say where the rows are.

    Raises:
        StoppedError: when the run was stopped, with what to do next.
    """
    stopped: StoppedError | None = None
    torn = target.is_stdout and stdout_is_terminal()  # by a bar the rows would be
    with (
        stop_on_signals() as stop,
        progress(terminal, inputs, f"{work.item}s", drawn=not torn) as on_input,
    ):
        run = Run(work, summary, RunObserver(_RowLog(), on_input), stop, policy)
        try:
            run.execute(inputs, open_sink)
        except StoppedError as error:
            stopped = error
        except KeyboardInterrupt:
            stopped = StoppedError(ExitCode.INTERRUPTED, "interrupted, and stopped at once")
    show(summary, terminal)
    if stopped is not None:
        raise StoppedError(stopped.exit_code, f"{stopped}; {target.advice}")
    if summary.earlier_failed and not policy.retry_failed:
        one = summary.earlier_failed == 1
        terminal.say(
            f"{summary.earlier_failed:,} {'failure is' if one else 'failures are'} of an earlier "
            f"run; --retry-failed tries {'it' if one else 'them'} again"
        )
    if not target.is_stdout:
        terminal.say(f"written to {target.output}")
    return ExitCode.INPUTS_FAILED if summary.failed else ExitCode.OK


class _RowLog:
    """A line for a failure, and for others too where more is wanted.

    What fails for all variants of a question is told once.
    """

    def __init__(self) -> None:
        self._last: tuple[str | None, str | None] = None, None

    def __call__(self, row: MainRow) -> None:
        names = {"image_id": row.image_id}
        if (custom_id := getattr(row, "custom_id", None)) is not None:
            names["custom_id"] = custom_id
        if row.error_code is not None:
            self._tell_failure(row, names)
            return
        if warning := getattr(row, "warning", None):
            logger.warning("%s: %s", row.image_id, warning, extra={"fields": names})
        if isinstance(row, ScoreRow):
            verdict = "right" if row.exact else f"wrong, expected one of {row.answers}"
            logger.debug(
                "%s, %s: %s → %s (%s)",
                custom_id or row.image_id,
                row.variant,
                row.question,
                row.answer,
                verdict,
                extra={"fields": {**names, "variant": row.variant, "exact": row.exact}},
            )
            return
        tokens = "no image" if row.tokens is None else f"{row.kept} of {row.tokens} tokens kept"
        fields = {**names, "tokens": row.tokens, "kept": row.kept}
        logger.debug("%s: %s", custom_id or row.image_id, tokens, extra={"fields": fields})

    def _tell_failure(self, row: MainRow, names: dict[str, str | None]) -> None:
        this = names.get("custom_id") or row.image_id, row.error_message
        if isinstance(row, ScoreRow) and row.variant != FULL and this == self._last:
            return
        self._last = this
        fields = {**names, "error_code": row.error_code}
        logger.warning("%s: %s", row.error_code, row.error_message, extra={"fields": fields})
