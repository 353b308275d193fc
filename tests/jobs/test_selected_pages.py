"""Pages from the last one on: the same pages as forward, with few of them in memory."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppcli.coding.coder_options import CoderOptions
from ppcli.errors import ImageError
from ppcli.files import LocalFile
from ppcli.imaging.decode import pillow_limits
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import Fit, Frames
from ppcli.imaging.reading_options import PageRanges, ReadingOptions
from ppcli.inputs.refs import ImageRef
from ppcli.jobs import selected_pages as module
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.held_pages import HeldPage, hold_page
from ppcli.jobs.pages import PagesResult
from ppcli.jobs.selected_pages import selected_pages, selected_parts_backward
from tests.conftest import blocks

PAD = FitOptions(Fit.PAD, 16, 2, 1, 1 << 24)
ALL = ReadingOptions(Frames.ALL)
RASTER = 64 * 64 * 3  # bytes of a page


def save(path: Path, count: int, *, larger: int | None = None) -> Path:
    pages = [Image.fromarray(blocks(64, 64, seed=seed)) for seed in range(count)]
    if larger is not None:
        pages[larger] = Image.fromarray(blocks(640, 64, seed=larger))
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return path


def ref_of(path: Path, page: int | None = None) -> ImageRef:
    return ImageRef(LocalFile(str(path)), path.name, page=page)


def backward(ref: ImageRef, reading: ReadingOptions = ALL) -> list[PagesResult]:
    options = AnalysisOptions(CoderOptions(), PAD, reading)
    with pillow_limits(reading.max_image_pixels):
        return list(selected_parts_backward(ref, options, hold_page))


def assert_turned_round(
    parts: list[PagesResult], ref: ImageRef, reading: ReadingOptions = ALL
) -> None:
    options = AnalysisOptions(CoderOptions(), PAD, reading)
    with pillow_limits(reading.max_image_pixels):
        forward = list(selected_pages(ref, options, hold_page))
    found = [page for part in parts for page in part.pages]
    assert [one.row.image_id for one in found] == [one.row.image_id for one in forward[::-1]]
    for one, other in zip(found, forward[::-1], strict=True):
        assert isinstance(one, HeldPage) and isinstance(other, HeldPage)
        assert np.array_equal(one.page.fitted.raster, other.page.fitted.raster)
    assert {part.state for part in parts} == {LocalFile(ref.file.local_path or "").state()}


@pytest.mark.parametrize("name", ["a.tif", "a.gif", "a.pdf", "a.webp"])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_pages_from_the_last_one_on(tmp_path: Path, name: str, count: int) -> None:
    ref = ref_of(save(tmp_path / name, count))
    parts = backward(ref)
    assert_turned_round(parts, ref)
    assert max(len(part.pages) for part in parts) <= 32


def test_only_the_pages_that_are_selected(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", 9)
    reading = ReadingOptions(pages=PageRanges.parse("2-4,8"))
    parts = backward(ref_of(path), reading)
    assert [page.row.page for part in parts for page in part.pages] == [8, 4, 3, 2]
    [named] = backward(ref_of(path, page=5), reading)
    assert [page.row.page for page in named.pages] == [5]
    with pytest.raises(ImageError, match="there is no page 10"):
        backward(ref_of(path, page=10))


@pytest.mark.parametrize("larger", [None, 0, 7, 12, 19])
def test_few_pages_are_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, larger: int | None
) -> None:
    """Even where one page is ten times as large as the others."""
    monkeypatch.setattr(module, "_MOST_BYTES", 3 * RASTER)
    ref = ref_of(save(tmp_path / "a.tif", 20, larger=larger))
    parts = backward(ref)
    assert_turned_round(parts, ref)
    for part in parts:
        assert len(part.pages) == 1 or sum(one.nbytes for one in part.pages) <= 3 * RASTER
    assert len(parts) < 12  # mostly three at a time


def test_a_file_that_cannot_be_read_is_an_error_row(tmp_path: Path) -> None:
    [part] = backward(ref_of(tmp_path / "gone.tif"))
    assert [page.row.error_code for page in part.pages] == ["not_found"]
    path = save(tmp_path / "cut.tif", 3)
    path.write_bytes(path.read_bytes()[:100])
    [part] = backward(ref_of(path))
    assert [page.row.status for page in part.pages] == ["error"]
