"""The scores of `eval`, as tables."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import JustifyMethod
from rich.table import Table

from ppcli.cli.terminal import Terminal
from ppcli.jobs.evaluate import MEASURES, Estimate, EvalSummary, Tally
from ppcli.store.rows import FULL

_LESS = "exact − full"
_MARK = " τ="  # in the names of pruned variants
_CLAIMED = 3
_NAME = 16  # longer names have a line for each word


def show_scores(summary: EvalSummary, terminal: Terminal) -> None:
    """Print the scores on standard error: as tables, or as one line if logs are JSON.

    They are the result of the command, so `--quiet` does not suppress them.
    """
    if terminal.as_json:
        terminal.say_json(_numbers(summary))
        return
    for code, number in sorted(summary.failures.items()):
        terminal.say(f"failed: {code}: {number:,} question{'s' * (number != 1)}")
    if not summary.tallies:
        return
    claimed = _claimed(summary)
    terminal.console.print(_claim_table(summary, claimed))
    if len(claimed) == len(summary.tallies):
        return
    terminal.console.print(_variants_table(summary))
    if len(summary.kinds) > 1:
        terminal.console.print(_kinds_table(summary))
    terminal.say("Scores in per cent with 95 % intervals over images; ms: model time per question.")


def _numbers(summary: EvalSummary) -> dict[str, Any]:
    return {
        "failures": dict(summary.failures),
        "seconds": summary.seconds,
        "variants": {
            variant: {
                "questions": len(tally.scores),
                "tokens": tally.tokens,
                "kept": tally.kept,
                "milliseconds": tally.milliseconds,
                **{name: _fields(summary.estimate(variant, name)) for name in MEASURES},
                "exact_less_full": _fields(summary.difference(variant, "exact")),
                "exact_by_kind": {
                    kind: _fields(summary.estimate(variant, "exact", kind))
                    for kind in summary.kinds
                },
            }
            for variant, tally in summary.tallies.items()
        },
    }


def _fields(estimate: Estimate | None) -> dict[str, float] | None:
    return None if estimate is None else asdict(estimate)


def _table(*columns: str, folds: str = "") -> Table:
    """Return an empty table; one column may fold, or Rich would cut names if space is short."""
    table = Table(box=box.SIMPLE, pad_edge=False, collapse_padding=True)
    for place, column in enumerate(columns):
        justify: JustifyMethod = "right" if place else "left"
        table.add_column(column, justify=justify, no_wrap=column != folds)
    return table


def _claimed(summary: EvalSummary) -> list[str]:
    """Return the full image and the first pruned ones, as many as fit, all of one method."""
    pruned = [name for name in summary.tallies if _MARK in name]
    method = [name for name in pruned if name.split()[0] == pruned[0].split()[0]]
    shown = {FULL, *method[:_CLAIMED]}
    return [name for name in summary.tallies if name in shown]


def _claim_table(summary: EvalSummary, claimed: Sequence[str]) -> Table:
    """Return a table that compares every token with pruned: tokens, time, right answers."""
    table = _table("", *map(_heading, claimed))
    tallies = [summary.tallies[name] for name in claimed]
    table.add_row("questions", *(f"{len(one.scores):,}" for one in tallies))
    table.add_row("image tokens", *map(_tokens, tallies))
    table.add_row("model time", *(f"{one.milliseconds / 1000:,.2f} s" for one in tallies))
    table.add_row("right answers", *(f"{one.right:,} ({one.right_share:.0%})" for one in tallies))
    return table


def _heading(variant: str) -> str:
    return "every token" if variant == FULL else f"pruned, {variant.split(maxsplit=1)[1]}"


def _tokens(tally: Tally) -> str:
    return f"{tally.kept:,} ({tally.kept / tally.tokens:.0%})"


def _variants_table(summary: EvalSummary) -> Table:
    table = _table("", "tokens", "exact", "ANLS", "relaxed", _LESS, "ms", folds=_LESS)
    for variant, tally in summary.tallies.items():
        scores = [_per_cent(summary.estimate(variant, name)) for name in MEASURES]
        less = "" if variant == FULL else _signed(summary.difference(variant, "exact"))
        milliseconds = f"{tally.milliseconds / len(tally.scores):,.0f}"
        name = variant if len(variant) <= _NAME else variant.replace(" ", "\n  ")
        name = f"{name}\n  {len(tally.scores):,} asked"
        share = f"{tally.kept / tally.tokens:.0%}"
        table.add_row(name, share, *scores, less, milliseconds)
    return table


def _kinds_table(summary: EvalSummary) -> Table:
    variants = sorted(summary.tallies, key=lambda name: name != FULL)[:2]
    table = _table("exact, by kind", "questions", *variants)
    for kind in summary.kinds:
        number = summary.tallies[variants[0]].kinds.count(kind)
        scores = [_per_cent(summary.estimate(one, "exact", kind), "  ") for one in variants]
        table.add_row(kind, f"{number:,}", *scores)
    return table


def _per_cent(estimate: Estimate | None, between: str = "\n") -> str:
    """Format a score in per cent with its interval, below it or beside it."""
    if estimate is None:
        return "–"
    share, low, high = (100 * one for one in (estimate.mean, estimate.low, estimate.high))
    return f"{share:.1f}{between}{low:.1f}–{high:.1f}"


def _signed(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    share, low, high = (100 * one for one in (estimate.mean, estimate.low, estimate.high))
    return f"{share:+.1f}\n{low:+.1f} to {high:+.1f}"
