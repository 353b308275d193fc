"""Pairs of screenshots: what their questions say must be so, and where it can be seen."""

import random

import numpy as np
import pytest

from ppcli import CoderOptions
from ppcli.coding.frame_chain import code_frames
from ppcli.coding.sequence_options import Direction
from training.facts import Fact
from training.pairs import (
    BEFORE,
    CHANGE,
    EMPTY,
    LAYOUTS,
    NOW,
    SAME,
    SIZES,
    SIZES_OF_TEXT,
    Pair,
    RecordedPage,
    pair,
    tiles_of,
)
from training.samples import TILE, TRAIN, Split, drawn_page

pytestmark = pytest.mark.oracle

WORDS = Split("test", unseen_words=True)


def pairs(split: Split, count: int) -> list[Pair]:
    return [pair(split, seed, SIZES[seed % len(SIZES)]) for seed in range(count)]


def kept_of(one: Pair, sequence: Direction | None) -> list[np.ndarray]:
    return [kept.keep for kept in code_frames(one.fitted(), TILE, CoderOptions(), sequence)]


def test_a_seed_gives_a_pair_and_splits_share_none() -> None:
    one, again, other = (pair(split, 3, (8, 4)) for split in (TRAIN, TRAIN, WORDS))
    assert one.questions == again.questions
    assert all(map(np.array_equal, one.images, again.images))
    assert one.questions != other.questions


def test_words_of_the_test_are_not_those_of_training() -> None:
    labels = [
        {fact.first for one in pairs(split, 60) for fact in one.questions[SAME]}
        for split in (TRAIN, WORDS)
    ]
    assert len(labels[1]) > 10
    assert labels[0].isdisjoint(labels[1])


@pytest.mark.parametrize("split", [TRAIN, WORDS])
def test_one_field_is_all_that_changes(split: Split) -> None:
    """What differs is one line high, and each image is otherwise the other."""
    found = set()
    for one in pairs(split, 60):
        before, after = (np.asarray(image, np.int64) for image in one.images)
        rows, _ = np.nonzero((before != after).any(-1))
        assert len(rows) > 0
        assert np.ptp(rows) < 2 * SIZES_OF_TEXT[1]
        (change,), (now,), (was,) = (one.questions[kind] for kind in (CHANGE, NOW, BEFORE))
        assert change.answer == f"{one.label}: {now.answer}"
        assert now.first == was.first == one.label
        assert now.answer != was.answer
        assert one.label not in {fact.first for fact in one.questions[SAME]}
        found |= {one.layout, now.kind, was.answer == EMPTY}
    assert found == {*LAYOUTS, "value", "ticked", True, False}


def test_what_was_changed_can_be_changed_back() -> None:
    """A page drawn again with its own stroke is the same page; with none it lacks the text."""
    changed = 0
    for seed in range(30):
        _, page, facts = drawn_page(
            random.Random(seed), TRAIN, (8, 4), SIZES_OF_TEXT, LAYOUTS, RecordedPage
        )
        for fact in facts:
            place = page.place_of(fact)
            if place is None:
                continue
            stroke = page.strokes[place]
            again = page.again(place, stroke)
            assert np.array_equal(again.image, page.image)
            assert again.lines() == page.lines()
            without = page.again(place, None)
            assert not np.array_equal(without.image, page.image)
            said = "".join(glyph.character for glyph in page.glyphs)
            left = "".join(glyph.character for glyph in without.glyphs)
            gone = 1 if fact.kind == "ticked" else len(fact.answer)
            assert len(said) - len(left) == gone
            changed += 1
    assert changed > 30


def test_the_place_of_an_answer_is_beside_its_label() -> None:
    _, page, _ = drawn_page(random.Random(0), TRAIN, (8, 4), SIZES_OF_TEXT, LAYOUTS, RecordedPage)
    page.strokes.clear()
    for x, y, words in ((5, 10, "Tax:"), (60, 10, "7"), (5, 40, "Fee"), (60, 40, "7")):
        page.text(x, y, words)
    page.tick_box(60, 70, 14, True, "check")
    page.text(5, 70, "Wi-Fi")
    assert page.place_of(Fact("value", "7", "Tax")) == 1
    assert page.place_of(Fact("value", "7", "Fee")) == 3
    assert page.place_of(Fact("ticked", "yes", "Wi-Fi")) == 4
    assert page.place_of(Fact("value", "8", "Tax")) is None
    page.text(90, 10, "7")
    assert page.place_of(Fact("value", "7", "Tax")) is None, "which of the two is unknown"


def test_what_stays_is_seen_only_in_the_first_image() -> None:
    """With `forward` no kept tile of the second image has a pixel of the answer.

    Without it some have: the control.
    """
    kept_alone = 0
    for one in pairs(TRAIN, 60):
        _, alone = kept_of(one, None)
        before, kept = kept_of(one, Direction.FORWARD)
        assert set(one.areas) == set(one.questions[SAME])
        for tiles in map(tiles_of, one.areas.values()):
            assert not kept[tiles].any()
            assert before[tiles].any()
            kept_alone += alone[tiles].any()
    assert kept_alone > 50
