"""Every kind of file that the encoders write is decoded correctly or refused."""

from collections import Counter

import numpy as np
import pytest

from tests.imaging.formats import FORMATS, Case, outcome, tally

# How many are read right, and how many refused: JPEG of 12 bits and JPEG-LS, BMP of 10 bits.
COUNTS = {
    "PNG": (52, 0),
    "JPEG": (44, 3),
    "WebP": (16, 0),
    "AVIF": (96, 0),
    "JPEG 2000": (480, 0),
    "GIF": (129, 0),
    "BMP": (167, 1),
}


@pytest.mark.parametrize("name", FORMATS)
def test_right_or_refused(name: str, tmp_path) -> None:
    counts, wrong = tally(name, tmp_path)
    assert wrong == []
    assert (counts["right"], counts["refused"]) == COUNTS[name]


def test_wrong_pixels_are_seen(tmp_path) -> None:
    ends: Counter[str] = Counter()
    for cases in FORMATS.values():
        case = next(iter(cases()))
        off = case.pixels.astype(np.int16)
        off[7, 7, 1] += 20 if off[7, 7, 1] < 128 else -20
        ends[outcome(Case(case.name, case.data, off), tmp_path / "a")[:5]] += 1
    assert ends == {"wrong": len(FORMATS)}
