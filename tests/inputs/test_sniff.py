import io
import os

import pytest
from PIL import Image, features

from ppcli.inputs.sniff import (
    SIGNATURE_BYTES,
    has_image_extension,
    has_image_signature,
    sniff,
    sniff_file,
    sniff_pages,
)

WRITABLE = ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "ICO", "QOI", "DDS", "SGI"]


@pytest.mark.parametrize("name", WRITABLE)
def test_what_pillow_writes_is_recognised(name: str) -> None:
    data = io.BytesIO()
    Image.new("RGB", (16, 16), (1, 2, 3)).save(data, name)
    assert sniff(data.getvalue()[:SIGNATURE_BYTES]) == name


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_netpbm_is_recognised(mode: str) -> None:
    data = io.BytesIO()
    Image.new(mode, (16, 16)).save(data, "PPM")
    assert sniff(data.getvalue()[:SIGNATURE_BYTES]) == "PPM"


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_recognised() -> None:
    data = io.BytesIO()
    Image.new("RGB", (16, 16)).save(data, "AVIF")
    assert sniff(data.getvalue()[:SIGNATURE_BYTES]) == "AVIF"


@pytest.mark.parametrize(
    "head",
    [
        *(
            b"",
            b"P",
            b"Plain text of a letter",
            b"P1 is urgent",
            b"P5",
            b"BMW, of Munich, makes cars",
        ),
        *(b"BMW, of Munich, makes cars", b"RIFF\0\0\0\0WAVEfmt ", b"\0\0\0\0\0\0\0\0WEBP"),
    ],
)
def test_other_content_is_not(head: bytes) -> None:
    assert sniff(head) is None


def test_programs_that_draw_are_not_taken_from_folders(tmp_path) -> None:
    paper = tmp_path / "paper"
    paper.write_bytes(b"%!PS-Adobe-3.0\n")
    assert sniff(paper.read_bytes()) == "EPS"
    assert not has_image_signature(str(paper))


def test_a_pdf_is_known_by_its_name_where_its_signature_comes_late(tmp_path) -> None:
    contents = {"a.pdf": b"junk %PDF-1.7", "b.PDF": b"%PDF-1.7", "c": b"%PDF-1.7", "d": b"junk"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    Image.new("RGB", (2, 2)).save(tmp_path / "e.pdf", "PNG")
    found = {path.name: sniff_pages(str(path)) for path in tmp_path.iterdir()}
    assert found == {"a.pdf": "PDF", "b.PDF": "PDF", "c": "PDF", "d": None, "e.pdf": "PNG"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert sniff_file(str(tmp_path / "pipe")) is None


def test_extensions_of_either_case() -> None:
    assert has_image_extension("a/b.PNG")
    assert not has_image_extension("a.png/b")
    assert not has_image_extension("png")
