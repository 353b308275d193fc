"""Documents for training: what they say must be what stands there."""

import random

import numpy as np
import pytest

from ppcli.models.checkpoints.byte_tokenizer import byte_tokenizer
from training.batches import TEXT_LENGTH, batch_of, read_aloud, texts_of
from training.faces import PILLOW
from training.facts import KINDS, Fact
from training.layouts import SEEN, UNSEEN
from training.network import END_TOKEN
from training.page import TICKED, UNTICKED, Glyph, Page, Theme
from training.samples import (
    TRAIN,
    Document,
    Split,
    _distinct,
    characters_of_cells,
    characters_of_tiles,
    document,
)

pytestmark = pytest.mark.oracle

TEST = Split("test", unseen_words=True, unseen_layouts=True)
SHAPES = [(8, 4), (6, 9), (12, 8)]


def documents(split: Split, count: int) -> list[Document]:
    return [document(split, seed, SHAPES[seed % 3]) for seed in range(count)]


def lines_of(made: Document) -> str:
    """All that was drawn, in the order of drawing, without spaces."""
    return "".join(glyph.character for glyph in made.glyphs).replace(" ", "")


@pytest.mark.parametrize("split", [TRAIN, TEST])
def test_every_answer_stands_in_the_picture(split: Split) -> None:
    made = documents(split, 120)
    for one in made:
        drawn = lines_of(one)
        for fact in one.facts:
            if fact.kind in ("value", "cell", "title", "button", "line"):
                assert fact.answer.replace(" ", "") in drawn, (one.kind, fact)
            if fact.kind in ("value", "cell", "ticked"):
                assert fact.first.replace(" ", "") in drawn
        width, height = one.image.size
        assert all(0 <= glyph.x < width and 0 <= glyph.y < height for glyph in one.glyphs)
    kinds = {one.kind for one in made}
    assert kinds == set(SEEN if split is TRAIN else UNSEEN)
    asked = {fact.kind for one in made for fact in one.facts}
    assert asked == (set(KINDS) if split is TRAIN else {"value", "title"})


def test_no_question_has_two_answers() -> None:
    for one in documents(TRAIN, 200):
        asked = [question.lower() for fact in one.facts for question in fact.questions()]
        assert len(asked) == len(set(asked))


def test_facts_that_share_a_question_are_left_out() -> None:
    """A label "Title" could be what "What is the title?" asks for."""
    facts = [Fact("title", "Invoice"), Fact("value", "Dr.", "Title"), Fact("value", "7", "Tax")]
    assert _distinct(facts) == facts[2:]
    assert _distinct(facts[1:]) == facts[1:]


def apart(one: Glyph, other: Glyph) -> bool:
    return abs(one.x - other.x) >= 5 or abs(one.y - other.y) >= 10


@pytest.mark.parametrize("split", [TRAIN, TEST])
def test_no_text_is_drawn_over_another(split: Split) -> None:
    """Letters of different words are apart; those of one word follow each other."""
    for one in documents(split, 150):
        for number, glyph in enumerate(one.glyphs):
            for other in one.glyphs[number + 2 :]:
                narrow = {glyph.character, other.character} & set(" .,:;'|!iljItf1-/()[]\"")
                assert narrow or apart(glyph, other), (one.kind, glyph, other)


def test_a_page_tells_text_that_cannot_be_read() -> None:
    theme = Theme.drawn(random.Random(0), (PILLOW,), (16, 16))
    for other, legible in (((90, 20), True), ((22, 20), False), ((170, 60), False)):
        page = Page((200, 100), theme)
        end = page.text(5, 20, "name")
        assert 22 < end < 85
        page.text(*other, "value")
        assert page.legible == legible


def test_a_seed_is_a_document_and_splits_share_none() -> None:
    one, again = document(TRAIN, 5, (8, 4)), document(TRAIN, 5, (8, 4))
    assert one.facts == again.facts
    assert np.array_equal(one.image, again.image)
    other = document(Split("validation"), 5, (8, 4))
    assert one.facts != other.facts


def test_words_of_the_test_are_not_those_of_training() -> None:
    labels = [
        {fact.first for one in documents(split, 150) for fact in one.facts if fact.kind == "value"}
        for split in (TRAIN, Split("test", unseen_words=True))
    ]
    assert len(labels[1]) > 10
    assert labels[0].isdisjoint(labels[1])


def test_characters_lie_in_the_tiles_where_ink_is() -> None:
    """Of a tile without any character every pixel may be paper; of one with some, none is."""
    for one in documents(TRAIN, 40):
        raster = one.fitted()
        found = characters_of_tiles(one, 12)
        rows, columns = found.shape[:2]
        assert raster.shape == (rows * 32, columns * 32, 3)
        tiles = raster.reshape(rows, 32, columns, 32, 3).transpose(0, 2, 1, 3, 4)
        spread = np.ptp(tiles.astype(int), axis=(2, 3)).max(axis=-1)
        visible = (found > 0) & (found != ord(" ")) & (found != ord("."))
        assert (spread[visible.any(axis=-1)] > 20).all()


def test_characters_are_read_line_by_line() -> None:
    made = document(Split("lines"), 0, (8, 4))
    made.glyphs.clear()
    for row, words in enumerate(("ab", "cd")):
        for column, character in enumerate(words):
            made.glyphs.append(Glyph(character, 5 + 9 * column, 6 + 14 * row))
    found = characters_of_tiles(made, 3)
    assert bytes(found[0, 0]) == b"abc"
    assert not found[1:].any()


def test_characters_of_cells_are_those_of_their_tiles() -> None:
    """A patch is a quarter of a tile, in merge-block order; what its cells hold its tile holds."""
    held = 0
    for one in documents(TRAIN, 30):
        tiles = characters_of_tiles(one, 99)
        cells = characters_of_cells(one)
        assert cells.shape == (tiles.shape[0] * tiles.shape[1] * 4, 8)
        for tile, four in zip(tiles.reshape(-1, 99), cells.reshape(-1, 32), strict=True):
            mine, whole = four[four > 0].tolist(), tile[tile > 0].tolist()
            held += len(mine) / max(1, len(whole))
            for code in set(mine):
                assert mine.count(code) <= whole.count(code)
    assert held > 300


def test_the_place_of_a_cell() -> None:
    made = document(Split("lines"), 0, (8, 4))
    made.glyphs.clear()
    across, down = made.image.width / 256, made.image.height / 128
    made.glyphs.append(Glyph("x", (32 + 16 + 9) * across, (64 + 12) * down))
    cells = characters_of_cells(made)
    patch = (2 * 8 + 1) * 4 + 1  # of the third row of tiles the second, there the upper right one
    assert cells[patch, 4 + 2] == ord("x")
    assert np.count_nonzero(cells) == 1


def test_texts() -> None:
    facts = [Fact("title", "Résumé"), Fact("line", "ab", "2")]
    ids, parts, positions, targets = texts_of(facts, random.Random(0))
    decode = byte_tokenizer().decode
    said = set()
    for part in (0, 1):
        mine = np.flatnonzero(parts == part)
        assert positions[mine].tolist() == list(range(len(mine)))
        answer = targets[mine][targets[mine] >= 0].tolist()
        assert answer[-1] == END_TOKEN
        said.add(decode(answer))
        fed = ids[mine].tolist()
        assert fed[-len(answer) :] == [END_TOKEN, *answer[:-1]]
    assert said == {"Résumé", "ab"}
    assert (parts[ids.size - 1], targets[-1], len(ids)) == (-1, -1, TEXT_LENGTH)


def test_reading_aloud() -> None:
    """From some line on, to the end or as far as there is room."""
    decode = byte_tokenizer().decode
    for lines in (["ab", "Total: 7 EUR", "ef"], ["x" * 60] * 4):
        heard = set()
        for seed in range(30):
            ids, parts, positions, targets = read_aloud(lines, random.Random(seed))
            used = int((parts == 0).sum())
            assert positions[:used].tolist() == list(range(used))
            mine = np.flatnonzero(targets >= 0)
            said = targets[mine].tolist()
            assert ids[mine[1:]].tolist() == said[:-1]
            first = decode(ids[: mine[0]].tolist(), skip_special_tokens=True)
            start = int(first.removeprefix("Read on from line ").removesuffix("."))
            text = "\n".join(lines[start - 1 :])
            heard.add(start)
            if said[-1] == END_TOKEN:
                assert decode(said, skip_special_tokens=True) == text
            else:
                assert (used, text[: len(said)]) == (TEXT_LENGTH, decode(said))
        assert heard == set(range(1, len(lines) + 1))


def test_boxes_are_read_like_characters() -> None:
    page = Page((200, 100), Theme.drawn(random.Random(0), (PILLOW,), (16, 16)))
    for y, ticked, kind in ((20, True, "check"), (60, False, "switch")):
        page.tick_box(5, y, 14, ticked, kind)
        page.text(50, y, "Wi-Fi")
    assert page.legible
    assert page.lines() == ["[x] Wi-Fi", "[ ] Wi-Fi"]
    boxes = [(one.character, one.x, one.y) for one in page.glyphs if one.character < " "]
    assert boxes == [(TICKED, 12, 20), (UNTICKED, 19, 60)]


def test_lines_are_those_that_a_reader_sees() -> None:
    page = Page((300, 100), Theme.drawn(random.Random(0), (PILLOW,), (16, 16)))
    for x, y, words in ((150, 60, "7"), (5, 61, "Tax"), (5, 20, "Bill"), (80, 60, "EUR")):
        page.text(x, y, words)
    assert page.lines() == ["Bill", "Tax EUR 7"]


def test_a_batch() -> None:
    batch = batch_of(TRAIN, range(3), (8, 4))
    assert batch.rasters.shape == (3, 128, 256, 3)
    assert batch.characters.shape == (3, 4, 8, 12)
    assert batch.cells.shape == (3, 128, 8)
    assert batch.texts.ids.shape == (3, TEXT_LENGTH)
