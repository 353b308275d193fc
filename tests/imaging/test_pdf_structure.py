"""The number of pages of a PDF, whatever it declares."""

import io
import zlib
from pathlib import Path

import numpy as np
import pikepdf
import pytest

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import LocalFile
from ppcli.imaging.image_choices import WHITE
from ppcli.imaging.page_source import open_source
from ppcli.imaging.pdf import PdfSource
from ppcli.imaging.reading_options import ReadingOptions
from tests.imaging.pdfs import Page, pdf


def opened(document: bytes) -> PdfSource:
    return PdfSource(io.BytesIO(document), ReadingOptions(dpi=36))


def refused(document: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        opened(document)
    assert caught.value.code is ErrorCode.CORRUPT
    return caught.value.message


def in_object_streams(pages: int) -> bytes:
    document = pikepdf.new()
    for _ in range(pages):
        document.add_blank_page(page_size=(72, 36))
    written = io.BytesIO()
    document.save(written, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    return written.getvalue()


def test_many_pages_in_few_bytes() -> None:
    document = in_object_streams(1200)
    assert len(document) < 100 * 1200
    source = opened(document)
    assert source.frames == 1200
    assert all(source.page(number, WHITE).shape == (18, 36, 3) for number in (1, 600, 1200))
    source.close()


def tree(kids: str, count: int, more: str = "") -> bytes:
    """Write one page, object 3, in a tree that declares more."""
    document = pdf([Page()]).replace(
        b"/Kids[3 0 R]/Count 1", b"/Kids[%s]/Count %d" % (kids.encode(), count)
    )
    return document.replace(b"trailer", more.encode() + b"trailer") if more else document


@pytest.mark.parametrize("count", [1000, 1_000_000])
def test_pages_that_are_not_there(count: int) -> None:
    refused(tree("3 0 R", count))


def test_one_page_again_and_again() -> None:
    assert "100,000 pages" in refused(tree("3 0 R " * 100_000, 100_000))


def test_branches_of_branches() -> None:
    """Write thirty levels that each contain the next twice: a billion pages."""
    levels = "".join(
        f"{10 + level} 0 obj<</Type/Pages/Count {2 ** (30 - level)}"
        f"/Kids[{11 + level} 0 R {11 + level} 0 R]>>endobj\n"
        for level in range(30)
    )
    last = "40 0 obj<</Type/Page/MediaBox[0 0 9 9]>>endobj\n"
    refused(tree("10 0 R", 2**30, levels + last))


def test_a_tree_that_leads_back() -> None:
    """The page appears once; a node that is its own parent is an error."""
    source = opened(tree("2 0 R 3 0 R", 2))
    assert source.frames == 2
    assert source.page(1, WHITE).shape == (18, 36, 3)
    with pytest.raises(ImageError, match="page 2") as caught:
        source.page(2, WHITE)
    assert caught.value.code is ErrorCode.CORRUPT
    source.close()


def test_pages_are_found_by_their_place_in_the_tree(tmp_path: Path) -> None:
    """Write each page in a separate branch, identified by its user unit."""
    whole = pdf([Page(of_page=f"/UserUnit {n}") for n in (1, 2, 3)])
    branches = b"/Kids[<</Kids[9 0 R]/Count 1>><</Kids[3 0 R 6 0 R]/Count 2>>]/Count 3"
    document = whole.replace(b"/Kids[3 0 R 6 0 R 9 0 R]/Count 3", branches)
    assert document != whole
    source = opened(document)
    assert [source.page(number, WHITE).shape[0] for number in (1, 2, 3)] == [54, 18, 36]
    source.close()


@pytest.mark.parametrize("method", [{"R": 6}, {"R": 4, "aes": True}, {"R": 3, "aes": False}])
def test_files_with_an_empty_password_are_looked_at(method: dict) -> None:
    pages = [Page("q 72 0 0 36 0 0 cm /Im Do Q", image=np.full((8, 8, 3), 7, np.uint8))] * 2
    written = io.BytesIO()
    with pikepdf.open(io.BytesIO(pdf(pages))) as document:
        document.pages[1].Resources.XObject.Im.write(
            zlib.compress(b"7" * 50), filter=pikepdf.Name.FlateDecode
        )
        document.save(
            written,
            encryption=pikepdf.Encryption(owner="of the owner", user="", metadata=False, **method)
            if method["R"] >= 4
            else pikepdf.Encryption(owner="of the owner", **method, metadata=False),
        )
    source = opened(written.getvalue())
    assert (source.page(1, WHITE) == 7).all()
    with pytest.raises(ImageError, match="the image /Im is truncated"):
        source.page(2, WHITE)
    source.close()


def test_two_thousand_pages_of_a_given_file(corpus: Path) -> None:
    path = corpus.parent / "cases" / "inputs" / "min2000.pdf"
    source = open_source(LocalFile(str(path)), ReadingOptions(dpi=10))
    assert source.frames == 2000
    assert source.page(2000, WHITE).shape == (110, 85, 3)
    source.close()


def test_a_given_file_after_a_byte_order_mark(corpus: Path) -> None:
    path = corpus.parent / "cases" / "inputs" / "bom_noext.bin"
    source = open_source(LocalFile(str(path)), ReadingOptions(dpi=150))
    assert (source.format, source.page(1, WHITE).shape) == ("PDF", (1650, 1275, 3))
    source.close()


def test_a_file_with_more_pages_than_it_says_is_not_read_in_part(tmp_path: Path) -> None:
    """PDFium would return only the first one."""
    (tmp_path / "a.pdf").write_bytes(pdf([Page()] * 3).replace(b"/Count 3", b"/Count 1"))
    with pytest.raises(ImageError, match="1 page, but contains 3") as caught:
        open_source(LocalFile(str(tmp_path / "a.pdf")), ReadingOptions())
    assert caught.value.code is ErrorCode.CORRUPT
