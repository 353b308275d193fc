import io
import os
from pathlib import Path

import pytest
from PIL import Image, features

from ppcli.files import LocalFile
from ppcli.inputs.sniff import (
    SIGNATURE_BYTES,
    has_image_extension,
    has_image_signature,
    sniff,
    sniffed_format,
)


def signature_in(path: Path) -> bool:
    with LocalFile(str(path)).open() as file:
        return has_image_signature(file)


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
    assert not signature_in(paper)


def test_a_pdf_is_known_by_its_name_where_its_signature_comes_late(tmp_path) -> None:
    contents = {"a.pdf": b"junk %PDF-1.7", "b.PDF": b"%PDF-1.7", "c": b"%PDF-1.7", "d": b"junk"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    Image.new("RGB", (2, 2)).save(tmp_path / "e.pdf", "PNG")
    found = {path.name: sniffed_format(LocalFile(str(path))) for path in tmp_path.iterdir()}
    assert found == {"a.pdf": "PDF", "b.PDF": "PDF", "c": "PDF", "d": None, "e.pdf": "PNG"}


JUNK = {
    "byte order mark": b"\xef\xbb\xbf",
    "headers of HTTP": b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\n\r\n",
    "blank lines": b"\r\n" * 20,
    "much": b"x" * 1000,
    "nothing": b"",
}
BODY = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n" + b"\x93" * 3000 + b"\nstartxref\n12\n%%EOF\n"


@pytest.mark.parametrize("name", ["a", "a.bin", "a.txt", "a.pdf", "a.png"])
@pytest.mark.parametrize("junk", JUNK)
def test_a_pdf_is_known_by_its_content(tmp_path, junk: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(JUNK[junk] + BODY + b"</html>" * 20)
    assert sniffed_format(LocalFile(str(path))) == "PDF"
    assert signature_in(path)


TEXTS = {
    "a letter": b"Files that begin with %PDF-1.7 are PDFs.\n",
    "a program": b'out = b"%PDF-1.7\\n"\nout += b"startxref\\n%d\\n%%EOF"\n',
    "no version": b"\n" + BODY.replace(b"%PDF-1.7", b"%PDF-x"),
    "too late": b"x" * 1100 + BODY,
    "an end far from the end": b" " + BODY + b" " * 1100,
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts_that_mention_the_signature_are_no_pdf(tmp_path, text: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(TEXTS[text].replace(b"%PDF-1.7", b" %PDF-1.7"))
    assert sniffed_format(LocalFile(str(path))) is None
    assert not signature_in(path)


def test_other_signatures_come_first(tmp_path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.gif", comment=b"%PDF-1.7")
    with (tmp_path / "a.gif").open("ab") as file:
        file.write(BODY)
    assert sniffed_format(LocalFile(str(tmp_path / "a.gif"))) == "GIF"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert sniffed_format(LocalFile(str(tmp_path / "pipe"))) is None


def test_extensions_of_either_case() -> None:
    assert has_image_extension("a/b.PNG")
    assert not has_image_extension("a.png/b")
    assert not has_image_extension("png")
