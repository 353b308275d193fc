"""The tables of `eval` in a terminal of 80 columns, with the widest figures that there are."""

import io

from rich.console import Console

from ppcli.cli.eval_output import _claim_table, _claimed, _kinds_table, _variants_table
from ppcli.coding.coder_options import Method, Metric
from ppcli.jobs.eval_options import VariantOptions
from ppcli.jobs.evaluate import EvalSummary
from ppcli.jobs.variants import variants_of
from ppcli.store.rows import FULL, OK, ScoreRow


def names(options: VariantOptions) -> list[str]:
    return [variant.name for variant in variants_of(options, controls=True)]


NAMES = names(VariantOptions((0.0, 3 / 255)))


def summary(compared: list[str]) -> EvalSummary:
    """Few questions, so that intervals are wide, and a slow machine."""
    made = EvalSummary()
    for place, name in enumerate(compared):
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
    made = summary(NAMES)
    console = Console(width=80, file=io.StringIO())
    console.print(_variants_table(made))
    console.print(_kinds_table(made))
    shown = console.file.getvalue()
    figures = ("100.0", "–100.0", "-99.9", "12,346", "1,200 asked")
    for words in (*NAMES, *figures, "ANLS", "relaxed", "kind 1"):
        assert words in shown, shown
    assert "…" not in shown


def test_long_names_and_many_thresholds_are_not_cut_off() -> None:
    levels = tuple(level / 255 for level in (0, 4, 8, 12))
    methods = (Method.LEFT_OR_ABOVE_FLAT, Method.PRED_2D)
    made = summary(names(VariantOptions(levels, methods, (Metric.MAX, Metric.RMSE))))
    console = Console(width=80, file=io.StringIO())
    console.print(_claim_table(made, _claimed(made)))
    console.print(_variants_table(made))
    shown = console.file.getvalue()
    assert "…" not in shown
    assert "pruned, τ=0.0157" in shown and "pruned, rmse" not in shown
    assert "left_or_above_flat" in shown and "  rmse" in shown and "pred_2d τ=0.0471" in shown


def test_the_claim_holds_every_token_beside_pruned() -> None:
    made = EvalSummary()
    three = [FULL, "pred_2d τ=0", "random"]
    for number in range(40):
        for name, kept, right in zip(three, (100, 60, 60), (1.0, number % 4 > 0, 0.0), strict=True):
            row = ScoreRow(image_id="a", custom_id=str(number), variant=name)
            row.status, row.exact, row.anls, row.relaxed = OK, float(right), 0.5, 1.0
            row.tokens, row.kept, row.vision_ms = 100, kept, 250.0
            made.add(row)
    console = Console(width=80, file=io.StringIO())
    console.print(_claim_table(made, _claimed(made)))
    shown = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["every", "token", "pruned,", "τ=0"] in shown
    assert ["image", "tokens", "4,000", "(100%)", "2,400", "(60%)"] in shown
    assert ["model", "time", "10.00", "s", "10.00", "s"] in shown
    assert ["right", "answers", "40", "(100%)", "30", "(75%)"] in shown
