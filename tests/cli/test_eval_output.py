"""The tables of `eval` in a terminal of 80 columns, with the widest figures that there are."""

import io

from rich.console import Console

from ppcli.cli.eval_output import _kinds_table, _variants_table
from ppcli.jobs.evaluate import EvalSummary
from ppcli.jobs.variants import variants_at
from ppcli.store.rows import FULL, OK, ScoreRow

NAMES = [variant.name for variant in variants_at([0.0, 3 / 255], 0)]


def summary() -> EvalSummary:
    """Few questions, so that intervals are wide, and a slow machine."""
    made = EvalSummary()
    for place, name in enumerate(NAMES):
        for number in range(1_200):
            row = ScoreRow(image_id=str(number % 9), custom_id=str(number), variant=name)
            row.status, row.kind = OK, f"kind {number % 2}"
            row.exact = row.anls = row.relaxed = float(place == 0 or number > 1_198)
            row.tokens, row.kept, row.vision_ms = 100, 100, 12_345.6
            made.add(row)
    return made


def test_pairs_are_told_by_their_place() -> None:
    """Names of questions need not differ, and a failure leaves its question out of the pairs."""
    made, scores = EvalSummary(), {FULL: [1.0, 0.0, 1.0], "random": [0.0, 0.0, None]}
    for number in range(3):
        for name in (FULL, "random"):
            row = ScoreRow(image_id=str(number), custom_id="same", variant=name)
            score = scores[name][number]
            row.status, row.error_code = (OK, None) if score is not None else ("error", "truncated")
            row.exact = row.anls = row.relaxed = score
            made.add(row)
    assert made.difference("random", "exact").mean == -0.5


def test_nothing_is_cut_off() -> None:
    made = summary()
    console = Console(width=80, file=io.StringIO())
    console.print(_variants_table(made))
    console.print(_kinds_table(made))
    shown = console.file.getvalue()
    figures = ("100.0", "–100.0", "-99.9", "12,346", "1,200 asked")
    for words in (*NAMES, *figures, "ANLS", "relaxed", "kind 1"):
        assert words in shown, shown
    assert "…" not in shown
