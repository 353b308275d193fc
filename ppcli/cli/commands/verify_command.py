"""`pixelprune verify`."""

from typing import TYPE_CHECKING

from ppcli.cli.log_options import LogOptions
from ppcli.engine.engine_options import EngineOptions
from ppcli.errors import ExitCode, pluralize
from ppcli.jobs.dataset_options import VerifyOptions

if TYPE_CHECKING:
    from ppcli.store.verify_shard import VerifyReport


def verify(options: VerifyOptions, engine: EngineOptions, log: LogOptions) -> ExitCode:
    """Check that a dataset or a model directory is intact."""
    from ppcli import api
    from ppcli.cli.progress_display import ProgressDisplay
    from ppcli.cli.terminal import Terminal, logger
    from ppcli.jobs.run_control import RunControl

    terminal = Terminal(log)
    with ProgressDisplay(terminal) as progress:
        result = api.verify(
            options.path,
            data=options.data,
            max_image_pixels=options.max_image_pixels,
            engine=engine,
            control=RunControl(progress),
        )
    for sentence in result.damage:
        logger.error("%s", sentence)
    faults = pluralize(len(result.damage), "fault")
    if result.report is None:
        terminal.say(f"model directory: {faults}")
    else:
        terminal.say(f"{_counts(result.report, options.data)}: {faults}{_state(result.report)}")
    return ExitCode.DAMAGED if result.damage else ExitCode.OK


def _counts(report: "VerifyReport", data: bool) -> str:
    counts = [(report.files, "file"), (report.rows, "row"), (report.patch_sets, "patch set")]
    rasters = f", {pluralize(report.rasters, 'raster')} rebuilt" if data else ""
    return ", ".join(pluralize(number, noun) for number, noun in counts) + rasters


def _state(report: "VerifyReport") -> str:
    state = "" if report.finished else "; its run is unfinished"
    if report.leftovers:
        state += f"; {pluralize(report.leftovers, 'unfinished file')}, which resuming removes"
    return state
