import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli.errors import ErrorCode, ImageError, UsageError
from ppcli.imaging.image_choices import Frames
from ppcli.imaging.reading_options import PageRanges, ReadingOptions

SPANS = st.lists(
    st.tuples(st.integers(1, 40), st.none() | st.integers(0, 9), st.booleans()),
    min_size=1,
    max_size=5,
)


def chosen(spans, pages: int) -> list[int]:
    """Select pages by testing each against the spans."""

    def has(page: int) -> bool:
        return any(
            first <= page and (open_end or page <= first + (more or 0))
            for first, more, open_end in spans
        )

    return [page for page in range(1, pages + 1) if has(page)]


@given(SPANS, st.integers(0, 60))
def test_ranges_choose_the_pages_that_they_name(spans, pages: int) -> None:
    text = ", ".join(
        f"{first}-" if open_end else f"{first}-{first + more}" if more is not None else f"{first}"
        for first, more, open_end in spans
    )
    ranges = PageRanges.parse(text)
    expected = chosen(spans, pages)
    assert ranges.of(pages) == expected
    assert [ranges.nth(number) for number in range(1, len(expected) + 1)] == expected
    assert PageRanges.parse(str(ranges)) == ranges


@pytest.mark.parametrize("text", ["", "0", "a", "3-1", "1,,2", "-4", "1-2-3", "1.5", "²", "1 2"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(UsageError, match="--pages is"):
        PageRanges.parse(text)


@pytest.mark.parametrize(
    ("kind", "frames", "reading", "numbers", "several"),
    [
        ("PNG", 1, ReadingOptions(), [1], False),
        ("PNG", 1, ReadingOptions(pages=PageRanges.parse("7")), [1], False),
        ("GIF", 5, ReadingOptions(), [1], False),
        ("GIF", 3, ReadingOptions(Frames.ALL), [1, 2, 3], True),
        ("TIFF", 3, ReadingOptions(), [1, 2, 3], True),
        ("TIFF", 1, ReadingOptions(), [1], False),
        ("TIFF", 3, ReadingOptions(pages=PageRanges.parse("2-")), [2, 3], True),
        ("PDF", 1, ReadingOptions(), [1], True),
        ("PDF", 9, ReadingOptions(pages=PageRanges.parse("8-12,2")), [2, 8, 9], True),
    ],
)
def test_rows_of_a_file(kind, frames, reading, numbers, several) -> None:
    assert list(reading.numbers(kind, frames)) == numbers
    assert reading.gives_several(kind, frames) is several
    assert [reading.number(kind, row) for row in range(1, len(numbers) + 1)] == numbers


def test_no_page_left() -> None:
    with pytest.raises(ImageError, match="--pages 4-6,9 selects none of 3 pages") as caught:
        ReadingOptions(pages=PageRanges.parse("9,4-6")).numbers("PDF", 3)
    assert caught.value.code is ErrorCode.NO_SUCH_PAGE
