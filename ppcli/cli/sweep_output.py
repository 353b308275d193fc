"""The settings of `sweep`, as a table."""

from typing import Any

from rich import box
from rich.table import Table

from ppcli.cli.summary_table import failures
from ppcli.cli.terminal import Terminal
from ppcli.errors import pluralize
from ppcli.jobs.sweep import SettingTally, SweepSummary

_PERCENTILES = (10, 50, 90)


def show_settings(summary: SweepSummary, terminal: Terminal) -> None:
    """Print a line for each setting on standard error, or one line of JSON.

    They are the result of the command, so `--quiet` does not suppress them.
    """
    if terminal.as_json:
        terminal.say_json(_numbers(summary))
        return
    for name, number in failures(summary):
        terminal.say(f"{name}: {number}")
    if summary.skipped:
        terminal.say(f"{pluralize(summary.skipped, 'other file')} skipped")
    if summary.earlier_inputs:
        terminal.say(f"{pluralize(summary.earlier_inputs, 'file')} done by an earlier run")
    if not summary.settings:
        return
    terminal.console.print(_table(summary))
    terminal.say(
        f"{pluralize(summary.good, 'image')}, {summary.tokens:,} tokens. Keep ratio: mean and "
        "percentiles over the images. ms: time to select the tiles of the median image."
    )


def _numbers(summary: SweepSummary) -> dict[str, Any]:
    return {
        "images": summary.good,
        "failures": dict(summary.failures),
        "warned": summary.warned,
        "files_skipped": summary.skipped,
        "seconds": summary.seconds,
        "settings": [
            {
                "method": method,
                "metric": metric,
                "threshold": asked,
                "images": tally.images,
                "tokens": tally.tokens,
                "kept": tally.kept,
                "keep_ratio": {
                    "mean": tally.mean,
                    **{f"p{one}": tally.keep_ratios.percentile(one) for one in _PERCENTILES},
                },
                "milliseconds": tally.milliseconds,
            }
            for (method, metric, asked), tally in summary.settings.items()
        ],
    }


def _table(summary: SweepSummary) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False, collapse_padding=True)
    table.add_column("τ")  # the only one that wraps: a long name, rather than numbers cut off
    for name in ("kept", "", "mean", "p10", "median", "p90", "ms"):
        table.add_column(name, justify="right", no_wrap=True)
    before = None
    for (method, metric, asked), tally in summary.settings.items():
        if before != (method, metric):
            table.add_row(f"{method}, {metric}", style="bold")
        before = method, metric
        table.add_row(f"  {asked}", *_cells(tally))
    return table


def _cells(tally: SettingTally) -> list[str]:
    ratios = [tally.mean, *map(tally.keep_ratios.percentile, _PERCENTILES)]
    return [
        f"{tally.kept:,}",
        f"{tally.kept / tally.tokens:.1%}",
        *(f"{ratio:.3f}" for ratio in ratios),
        f"{tally.milliseconds:,.2f}",
    ]
