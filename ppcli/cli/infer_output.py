"""The summary of `infer`."""

from typing import Any

from ppcli.cli.summary_table import change_numbers, changes, failures, show_totals
from ppcli.cli.terminal import Terminal
from ppcli.jobs.infer import PHASES, InferSummary

_PHASE_NAMES = {name: name.removesuffix("_ms") for name in PHASES} | {
    "request_ms": "servers, all requests"
}


def show_answers(summary: InferSummary, terminal: Terminal) -> None:
    """Print the totals of infer."""
    show_totals(terminal, _numbers(summary), _lines(summary))


def _numbers(summary: InferSummary) -> dict[str, Any]:
    return {
        "requests": summary.good + summary.failed,
        "failures": dict(summary.failures),
        "warned": summary.warned,
        "tokens": summary.tokens,
        "kept": summary.kept,
        "prompt_tokens": summary.prompt_tokens,
        "answer_tokens": summary.answer_tokens,
        **{name: summary.phases[name] for name in PHASES},
        "waited_ms": summary.waited_ms,
        "seconds": summary.seconds,
        **change_numbers(summary),
    }


def _lines(summary: InferSummary) -> list[tuple[str, str]]:
    lines = [("requests", f"{summary.good + summary.failed:,}"), *failures(summary)]
    if summary.tokens:
        lines.append(("image tokens", f"{summary.tokens:,}"))
        lines.append(
            ("image tokens fed", f"{summary.kept:,} ({summary.kept / summary.tokens:.1%})")
        )
    for name, milliseconds in summary.phases.items():
        if milliseconds:
            lines.append((_PHASE_NAMES[name], f"{milliseconds / 1000:,.2f} s"))
    if summary.waited_ms:
        lines.append(("waiting for images", f"{summary.waited_ms / 1000:,.2f} s"))
    if summary.phases["decode_ms"]:
        speed = summary.answer_tokens / summary.phases["decode_ms"] * 1000
        lines.append(("answer tokens", f"{summary.answer_tokens:,} ({speed:,.1f}/s)"))
    if summary.changes is not None:
        lines += changes(summary)
    elif summary.earlier_inputs:
        lines.append(("done by an earlier run", f"{summary.earlier_inputs:,}"))
    lines.append(("total time", f"{summary.seconds:,.2f} s"))
    return lines
