"""Forms that draw one another: PDFium stores every drawing, so that 3 kB take gigabytes."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import LocalFile
from ppcli.imaging.decode import pillow_limits
from ppcli.imaging.page_source import open_source
from ppcli.imaging.reading_options import ReadingOptions

BLACK = b"0 0 50 50 re f\n"


def form(content: bytes, names: dict[str, int]) -> bytes:
    listed = b" ".join(b"/%s %d 0 R" % (name.encode(), number) for name, number in names.items())
    about = b"/Type/XObject/Subtype/Form/BBox[0 0 100 100]/Resources<</XObject<<%s>>>>" % listed
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (about, len(content), content)


def pdf_of(path: Path, *forms: bytes) -> str:
    """Write a page that draws the first of several forms, which are the objects from 5."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Contents 4 0 R"
        b"/Resources<</XObject<</F 5 0 R>>>>>>",
        b"<</Length 6>>stream\n/F Do \nendstream",
        *forms,
    ]
    data, places = b"%PDF-1.4\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    listed = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    end = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(places) + 1, len(data))
    path.write_bytes(data + head + listed + end)
    return str(path)


def nested(path: Path, levels: int, times: int, last: bytes = BLACK) -> str:
    """Write forms that each draw the next one `times` times; the last draws something."""
    inner = [form(b"/F Do\n" * times, {"F": 6 + level}) for level in range(levels - 1)]
    return pdf_of(path, *inner, form(last, {}))


def page_of(path: str) -> np.ndarray | ErrorCode:
    try:
        with (
            pillow_limits(1 << 28),
            closing(open_source(LocalFile(path), ReadingOptions())) as source,
        ):
            return source.page(1, (255, 255, 255))
    except ImageError as error:
        return error.code


@pytest.mark.parametrize(("levels", "times"), [(1, 1), (3, 20), (8, 3), (40, 1)])
def test_forms_within_forms_are_drawn(tmp_path: Path, levels: int, times: int) -> None:
    pixels = page_of(nested(tmp_path / "a.pdf", levels, times))
    assert (pixels < 128).mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(("levels", "times"), [(7, 10), (17, 2), (25, 3), (40, 9), (3, 1_000)])
def test_forms_that_multiply_are_refused(tmp_path: Path, levels: int, times: int) -> None:
    path = nested(tmp_path / "a.pdf", levels, times)
    assert Path(path).stat().st_size < 20_000
    assert page_of(path) is ErrorCode.TOO_LARGE


def test_a_long_form_is_drawn_once_and_not_again_and_again(tmp_path: Path) -> None:
    long = BLACK + b"% nothing but words\n" * 100_000
    assert isinstance(page_of(nested(tmp_path / "a.pdf", 2, 10, long)), np.ndarray)
    assert page_of(nested(tmp_path / "b.pdf", 2, 50, long)) is ErrorCode.TOO_LARGE


@pytest.mark.parametrize(("times", "refused"), [(1, False), (2, True)])
def test_forms_that_draw_themselves(tmp_path: Path, times: int, refused: bool) -> None:
    """PDFium draws them recursively, up to its maximum depth."""
    itself = form(BLACK + b"/F Do\n" * times, {"F": 5})
    through = form(BLACK + b"/G Do\n" * times, {"G": 6}), form(b"/F Do\n" * times, {"F": 5})
    for name, forms in (("a", (itself,)), ("b", through)):
        outcome = page_of(pdf_of(tmp_path / name, *forms))
        assert (outcome is ErrorCode.TOO_LARGE) == refused


def test_what_lies_too_deep_to_be_drawn_is_no_white_page(tmp_path: Path) -> None:
    assert page_of(nested(tmp_path / "a.pdf", 41, 1)) is ErrorCode.CORRUPT
