from collections.abc import Iterator
from pathlib import Path

import pytest

from ppcli.errors import ImageError
from ppcli.files import LocalFile
from ppcli.imaging import decode
from ppcli.imaging.image_choices import Frames
from ppcli.imaging.page_cache import page_source
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.refs import ImageRef
from tests.engine import batches

LIMIT = 1 << 28


@pytest.fixture
def opened(monkeypatch) -> Iterator[list[str]]:
    """Record the opened paths in order; none may remain open at the end."""
    paths: list[str] = []
    files = []

    def watched(file: LocalFile, opened=LocalFile.open):
        paths.append(file.path)
        files.append(opened(file))
        return files[-1]

    monkeypatch.setattr(LocalFile, "open", watched)
    yield paths
    assert all(file.closed for file in files)


def long_file(folder: Path, row_format: str = "TIFF") -> ImageRef:
    return batches.batch(folder, {"long": batches.encoded(row_format, *range(70))})[0]


@pytest.mark.parametrize("row_format", ["TIFF", "GIF", "WEBP", "PNG"])
def test_a_long_file_is_opened_once(tmp_path, opened, row_format: str) -> None:
    ref = long_file(tmp_path, row_format)
    results = batches.run(batches.serial(), [ref])
    assert [result.row.page for result in results] == list(range(1, 71))
    assert all(result.row.status == "ok" for result in results)
    assert opened == [ref.file.path]


def test_a_first_frame_is_no_reason_to_stay_open(tmp_path, opened) -> None:
    ref = long_file(tmp_path, "GIF")
    assert batches.FIRST.reading.frames is Frames.FIRST
    assert len(batches.run(batches.serial(), [ref], batches.FIRST)) == 1
    assert opened == [ref.file.path]


def test_pages_can_be_asked_for_again_and_backwards(tmp_path, opened) -> None:
    file = long_file(tmp_path).file
    with decode.pillow_limits(LIMIT):
        expected = {}
        for number in (1, 40, 3, 1):
            with page_source(file, ReadingOptions()) as loan:
                loan.more_to_come = True
                pixels = loan.source.page(number, (255, 255, 255)).tobytes()
            assert expected.setdefault(number, pixels) == pixels
        assert len(set(expected.values())) == 3
        with page_source(file, ReadingOptions()):  # without more to come
            pass
    assert opened == [file.path]


def test_a_file_that_was_written_to_is_opened_anew(tmp_path, opened) -> None:
    file = long_file(tmp_path).file
    with decode.pillow_limits(LIMIT):
        for content in (batches.encoded("TIFF", 1, 2, 3), batches.encoded("TIFF", 1, 2)):
            Path(file.path).write_bytes(content)
            with page_source(file, ReadingOptions()) as loan:
                loan.more_to_come = True
                frames = loan.source.frames
        assert frames == 2
        with page_source(file, ReadingOptions()):
            pass
    assert len(opened) == 2


def test_after_a_failure_nothing_stays_open(tmp_path, opened) -> None:
    whole = batches.encoded("GIF", *range(9))
    [ref] = batches.batch(tmp_path, {"cut": whole[: len(whole) // 2]})
    with decode.pillow_limits(LIMIT), page_source(ref.file, ReadingOptions()) as loan:
        loan.more_to_come = True
        with pytest.raises(ImageError):
            loan.source.page(loan.source.frames, (0, 0, 0))
    assert loan.source._file.closed
