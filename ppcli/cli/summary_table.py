"""The totals at the end of a run, as a table."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from ppcli.cli.terminal import Terminal, logger
from ppcli.engine.summary import Summary
from ppcli.jobs.analyze import AnalyzeSummary
from ppcli.show.report_data import format_saving


def show_summary(summary: AnalyzeSummary, terminal: Terminal) -> None:
    """Print the totals of `analyze`."""
    show_totals(terminal, _numbers(summary), _lines(summary))
    if summary.patch_bytes > summary.bytes_in:
        terminal.say(
            "patch sets are larger than the image files; --no-patches writes statistics only"
        )


def show_totals(
    terminal: Terminal, numbers: dict[str, Any], lines: Iterable[tuple[str, str]]
) -> None:
    """Print totals on standard error, unless quiet.

    Args:
        terminal: where they are printed.
        numbers: printed as one line if logs are JSON.
        lines: printed as a table otherwise.
    """
    if terminal.quiet:
        return
    if terminal.as_json:
        logger.info("finished", extra={"fields": numbers})
        return
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, value in lines:
        table.add_row(name, Text(value))
    terminal.console.print(table)


def failures(summary: Summary) -> list[tuple[str, str]]:
    """Return a line for each kind of failure, and one for warnings."""
    lines = [
        (f"failed: {code}", f"{number:,}") for code, number in sorted(summary.failures.items())
    ]
    return [*lines, ("with a warning", f"{summary.warned:,}")] if summary.warned else lines


def changes(summary: Summary) -> list[tuple[str, str]]:
    """Return a line for each state in which a run that updates a dataset found inputs."""
    found = summary.changes
    if found is None:
        return []
    lines = [
        ("new", found.new),
        ("changed", found.changed),
        ("unchanged", found.unchanged),
        ("vanished, dropped" if found.dropped else "vanished, rows kept", found.vanished),
    ]
    if found.unreadable:
        lines.append(("cannot be read now, rows kept", found.unreadable))
    return [(name, f"{number:,}") for name, number in lines]


def change_numbers(summary: Summary) -> dict[str, Any]:
    """Return the same for a line of JSON."""
    return {} if summary.changes is None else asdict(summary.changes)


def _numbers(summary: AnalyzeSummary) -> dict[str, Any]:
    keep, unique = summary.keep_ratios, summary.unique_ratios
    return {
        "images": summary.good,
        "failures": dict(summary.failures),
        "warned": summary.warned,
        "files_skipped": summary.skipped,
        "frames_left": summary.frames_left,
        "tokens": summary.tokens,
        "kept": summary.kept,
        **({"kept_intra": summary.kept_intra} if summary.kept_intra else {}),
        "keep_ratio": {f"p{percent}": keep.percentile(percent) for percent in (10, 50, 90)},
        "unique": summary.unique,
        "unique_ratio": {"p50": unique.percentile(50)},
        **summary.costs,
        "bytes_in": summary.bytes_in,
        "patch_bytes": summary.patch_bytes,
        "seconds": summary.seconds,
        **change_numbers(summary),
    }


def _lines(summary: AnalyzeSummary) -> list[tuple[str, str]]:
    lines = [("images", f"{summary.good:,}"), *failures(summary)]
    if summary.skipped:
        lines.append(("other files skipped", f"{summary.skipped:,}"))
    if summary.frames_left:
        lines.append(("frames skipped (use --frames all)", f"{summary.frames_left:,}"))
    if summary.good:
        lines += _ratios(summary)
    if summary.costs:
        lines += _savings(summary)
    lines.append(("size of image files", _bytes(summary.bytes_in)))
    if summary.patch_bytes:
        lines.append(("size of patch sets", _size_of_patch_sets(summary)))
    if summary.changes is not None:
        lines += changes(summary)
    elif summary.earlier_inputs:
        lines.append(("files done by an earlier run", f"{summary.earlier_inputs:,}"))
    if summary.good > summary.earlier_good:
        lines.append(("images/s", f"{summary.rate:,.1f}"))
    return lines


def _size_of_patch_sets(summary: AnalyzeSummary) -> str:
    size = _bytes(summary.patch_bytes)
    if not summary.bytes_in:
        return size
    return f"{size} ({summary.patch_bytes / summary.bytes_in:,.2f} of the image files)"


def _ratios(summary: AnalyzeSummary) -> list[tuple[str, str]]:
    keep, unique = summary.keep_ratios, summary.unique_ratios
    share = summary.kept_intra / summary.tokens
    alone = [("kept by each frame alone", f"{summary.kept_intra:,} ({share:.1%})")]
    return [
        ("tokens", f"{summary.tokens:,}"),
        ("kept", f"{summary.kept:,} ({summary.kept / summary.tokens:.1%})"),
        *(alone if summary.kept_intra else []),
        ("keep ratio, median", f"{keep.percentile(50):.3f}"),
        (
            "keep ratio, 10th to 90th percentile",
            f"{keep.percentile(10):.3f} – {keep.percentile(90):.3f}",
        ),
        ("unique", f"{summary.unique:,} ({summary.unique / summary.tokens:.1%})"),
        ("unique ratio, median", f"{unique.percentile(50):.3f}"),
    ]


def _savings(summary: AnalyzeSummary) -> list[tuple[str, str]]:
    """Return a line for each cost."""
    words = {
        "vision FLOPs": "vision_flops",
        "prefill FLOPs": "prefill_flops",
        "KV cache": "kv_bytes",
    }
    return [
        (
            word,
            format_saving(
                summary.costs[name], summary.costs[f"{name}_kept"], "B" * name.endswith("bytes")
            ),
        )
        for word, name in words.items()
    ]


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
