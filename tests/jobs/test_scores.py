"""The measures against plain counterparts and published examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli.jobs.scores import anls, exact_match, interval, relaxed_match

WORDS = st.text("aB c1", max_size=8)


def edits(one: str, other: str) -> int:
    """The edit distance, by its definition."""
    row = list(range(len(other) + 1))
    for number, left in enumerate(one, 1):
        before, row[0] = row[0], number
        for place, right in enumerate(other, 1):
            before, row[place] = (
                row[place],
                min(row[place] + 1, row[place - 1] + 1, before + (left != right)),
            )
    return row[-1]


@given(WORDS, st.lists(WORDS, min_size=1, max_size=3))
def test_anls_by_its_definition(answer: str, right: list[str]) -> None:
    said = answer.strip().casefold()
    best = 0.0
    for one in right:
        wanted = one.strip().casefold()
        longer = max(len(said), len(wanted))
        away = edits(said, wanted) / longer if longer else 0.0
        best = max(best, 1 - away if away < 0.5 else 0.0)
    assert anls(answer, right) == pytest.approx(best)


def test_anls_of_a_slip_and_of_another_answer() -> None:
    assert anls("Invoice 12", ["Invoice 13"]) == pytest.approx(0.9)
    assert anls("cat", ["invoice"]) == 0.0
    assert anls("cat", ["invoice", " CAT "]) == 1.0


@given(WORDS, st.lists(WORDS, min_size=1, max_size=3))
def test_an_exact_answer_is_right_by_every_measure(answer: str, right: list[str]) -> None:
    exact = exact_match(answer, right)
    assert exact == float(answer.strip().casefold() in [one.strip().casefold() for one in right])
    assert anls(answer, right) >= exact
    assert relaxed_match(answer, right) >= exact


@pytest.mark.parametrize(
    ("answer", "right", "score"),
    [
        ("95", "100", 1.0),
        ("94.9", "100", 0.0),
        ("-105", "-100", 1.0),
        ("0.5", "50%", 1.0),
        ("50%", "50", 0.0),
        ("0", "0.0", 0.0),  # within nothing of nothing, and not the same text
        ("0", "0", 1.0),
        ("Paris", "paris ", 1.0),
        ("Pari", "Paris", 0.0),
        ("nan", "NaN", 1.0),
        ("inf", "100", 0.0),
    ],
)
def test_relaxed(answer: str, right: str, score: float) -> None:
    assert relaxed_match(answer, [right]) == score


def test_an_interval_of_questions_that_are_alone() -> None:
    """Near the one of the normal distribution, where that holds."""
    scores = (np.arange(2_000) % 5 != 0).astype(float)
    low, high = interval(scores, np.arange(2_000))
    half = 1.96 * (0.8 * 0.2 / 2_000) ** 0.5
    assert (low, high) == (pytest.approx(0.8 - half, abs=3e-3), pytest.approx(0.8 + half, abs=3e-3))


def test_questions_about_one_image_say_less_than_as_many_about_others() -> None:
    scores = np.repeat(np.arange(50) % 2, 20).astype(float)
    apart = interval(scores, np.arange(1_000))
    together = interval(scores, np.repeat(np.arange(50), 20))
    assert together[1] - together[0] > 3 * (apart[1] - apart[0])


@pytest.mark.parametrize("least", [0.0, -1.0])
@pytest.mark.parametrize(("images", "each"), [(60, 4), (8, 50), (20, 10)])
def test_an_interval_holds_the_truth_19_times_in_20(least: float, images: int, each: int) -> None:
    """Questions about an image are mostly right or mostly wrong together."""
    rng, held, times = np.random.default_rng(1), 0, 400
    groups = np.repeat(np.arange(images), each)
    for _ in range(times):
        share = np.repeat(rng.beta(4.5, 0.5, images), each)  # 0.9 in the mean
        scores = np.where(rng.random(images * each) < share, 1.0, least)
        low, high = interval(scores, groups, least)
        held += low <= 0.9 + least * 0.1 <= high
    assert 0.93 < held / times < 0.99


def test_nothing_but_right_answers_leave_some_doubt() -> None:
    few, more = (interval(np.ones(n), np.arange(n) // 2) for n in (4, 400))
    assert few[1] == more[1] == 1.0
    assert few[0] == pytest.approx(2 / 3 - 1.96 * (16 / 3) ** 0.5 / 12)  # of 12, 8 are right
    assert 0.96 < more[0] < 1.0
    low, high = interval(np.zeros(400), np.arange(400), -1.0)
    assert low == -high
    assert 0 < high < 0.02
