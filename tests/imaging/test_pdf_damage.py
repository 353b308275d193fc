"""Pages with missing or damaged objects, and the same pages without damage."""

import base64
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pikepdf
import pytest
from PIL import Image

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import LocalFile
from ppcli.imaging.image_choices import WHITE
from ppcli.imaging.page_source import open_source
from ppcli.imaging.pdf import PdfSource
from ppcli.imaging.reading_options import ReadingOptions
from tests.imaging.pdfs import Page, pdf, stream

WIDTH, HEIGHT = 120, 90
DRAWN = "q 72 0 0 36 0 0 cm /Im Do Q"
NOISE = np.random.default_rng(7)
PICTURE = NOISE.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
PICTURE[::3] = 200
BLACK_AND_WHITE = Image.fromarray(PICTURE[:, :, 0] > 128)
RGB = "/ColorSpace/DeviceRGB/BitsPerComponent 8"


def hexed(data: bytes) -> bytes:
    return data.hex().encode() + b">"


def ascii85(data: bytes) -> bytes:
    return base64.a85encode(data) + b"~>"


def run_lengths(data: bytes) -> bytes:
    pieces = [data[at : at + 128] for at in range(0, len(data), 128)]
    return b"".join(bytes([len(piece) - 1]) + piece for piece in pieces) + b"\x80"


def lzw(data: bytes) -> bytes:
    """Encode as 9-bit LZW codes, clearing the table before they need ten bits."""
    codes = []
    for at in range(0, len(data), 200):
        codes += [256, *data[at : at + 200]]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def saved(form: str, **options: object) -> bytes:
    data = BytesIO()
    Image.fromarray(PICTURE).save(data, form, **options)
    return data.getvalue()


def fax() -> bytes:
    """Encode the data of one TIFF strip."""
    data = BytesIO()
    BLACK_AND_WHITE.save(data, "TIFF", compression="group4", strip_size=1 << 20)
    with Image.open(data) as written:
        (at,), (size,) = written.tag_v2[273], written.tag_v2[279]
    return data.getvalue()[at : at + size]


def jbig2() -> bytes:
    """Encode a JBIG2 page with one region in MMR coding."""

    def segment(number: int, kind: int, data: bytes) -> bytes:
        return struct.pack(">IBBBI", number, kind, 0, 1, len(data)) + data

    page = struct.pack(">IIIIBH", WIDTH, HEIGHT, 0, 0, 0, 0)
    region = struct.pack(">IIIIBB", WIDTH, HEIGHT, 0, 0, 0, 1) + fax()
    return segment(0, 48, page) + segment(1, 38, region) + segment(2, 49, b"")


FAX = f"<</K -1/Columns {WIDTH}/Rows {HEIGHT}>>"
KINDS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "none": (RGB, PICTURE.tobytes),
    "flate": (f"{RGB}/Filter/FlateDecode", lambda: zlib.compress(PICTURE.tobytes())),
    "predicted": (
        f"{RGB}/Filter/FlateDecode/DecodeParms<</Predictor 15/Colors 3/Columns {WIDTH}>>",
        lambda: zlib.compress(b"".join(b"\0" + row.tobytes() for row in PICTURE)),
    ),
    "lzw": (f"{RGB}/Filter/LZWDecode", lambda: lzw(PICTURE.tobytes())),
    "runs": (f"{RGB}/Filter[/RunLengthDecode]", lambda: run_lengths(PICTURE.tobytes())),
    "ascii85": (f"{RGB}/Filter/ASCII85Decode", lambda: ascii85(PICTURE.tobytes())),
    "hex": (f"{RGB}/Filter/AHx", lambda: hexed(PICTURE.tobytes())),
    "hex of flate": (
        f"{RGB}/Filter[/ASCIIHexDecode/FlateDecode]/DecodeParms[null null]",
        lambda: hexed(zlib.compress(PICTURE.tobytes())),
    ),
    "jpeg": (f"{RGB}/Filter/DCTDecode", lambda: saved("JPEG")),
    "progressive": (f"{RGB}/Filter/DCT", lambda: saved("JPEG", progressive=True)),
    "flate of jpeg": (
        f"{RGB}/Filter[/FlateDecode/DCTDecode]",
        lambda: zlib.compress(saved("JPEG")),
    ),
    "jpeg 2000": ("/Filter/JPXDecode", lambda: saved("JPEG2000")),
    "fax": (
        f"/ColorSpace/DeviceGray/BitsPerComponent 1/Filter/CCITTFaxDecode/DecodeParms{FAX}",
        fax,
    ),
    "jbig2": ("/ColorSpace/DeviceGray/BitsPerComponent 1/Filter/JBIG2Decode", jbig2),
    "mask": ("/ImageMask true/Filter/FlateDecode", lambda: zlib.compress(fax_rows())),
    "palette": (
        "/ColorSpace[/Indexed/DeviceRGB 255 <" + "0a141e" * 256 + ">]/BitsPerComponent 8"
        "/Filter/FlateDecode",
        lambda: zlib.compress(PICTURE[:, :, 0].tobytes()),
    ),
}


def fax_rows() -> bytes:
    return np.packbits(PICTURE[:, :, 0] > 128, axis=1).tobytes()


def image(entries: str, data: bytes) -> bytes:
    size = f"/Width {WIDTH}/Height {HEIGHT}"
    return stream(f"/Type/XObject/Subtype/Image{size}{entries}", data)


def outcome(path: Path, document: bytes) -> tuple[ErrorCode | None, str | None]:
    """Return the error code of the first page, and its warning."""
    path.write_bytes(document)
    source = open_source(LocalFile(str(path)), ReadingOptions(dpi=72))
    try:
        source.page(1, WHITE)
    except ImageError as error:
        return error.code, error.message
    finally:
        source.close()
    return None, source.warning


@pytest.fixture
def of(tmp_path: Path):
    """Decode the first page of a file."""
    return lambda *args, **more: outcome(tmp_path / "some.pdf", pdf(*args, **more))


SOUND, CORRUPT = None, ErrorCode.CORRUPT
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a tenth is there": lambda data: data[: len(data) // 10],
    "half is there": lambda data: data[: len(data) // 2],
    "a tenth is gone": lambda data: data[: len(data) * 9 // 10],
    "nothing is there": lambda data: b"",
    "zeros": lambda data: b"\0" * len(data),
    "something else": lambda data: NOISE.bytes(len(data)),
}
# Nothing in it tells that it is not what was meant.
NOT_TO_BE_SEEN = {("none", "zeros"), ("none", "something else"), ("runs", "something else")}


@pytest.mark.parametrize("kind", KINDS)
def test_images_that_are_damaged(of, kind: str) -> None:
    entries, packed = KINDS[kind]
    data = packed()
    assert of([Page(DRAWN, image_object=image(entries, data))]) == (SOUND, None)
    for name, damage in DAMAGES.items():
        page = Page(DRAWN, image_object=image(entries, damage(data)))
        if (kind, name) not in NOT_TO_BE_SEEN:
            assert of([page])[0] is CORRUPT, name
        unused = Page("0 0 1 rg 1 1 9 9 re f", image_object=page.image_object)
        assert of([unused]) == (SOUND, None), name


def test_filters_that_nobody_knows(of) -> None:
    entries = f"{RGB}/Filter/FooDecode"
    page = Page(DRAWN, image_object=image(entries, zlib.compress(PICTURE.tobytes())))
    code, message = of([page])
    assert code is CORRUPT
    assert "/Im" in message
    assert "FooDecode" in message


CONTENT = zlib.compress(b"0 0 1 rg 10 10 30 30 re f\n" + NOISE.bytes(99).hex().encode() + b" sc")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (stream("/Filter/FlateDecode", CONTENT), SOUND),
        (stream("/Filter/FlateDecode", CONTENT + b"\r\n"), SOUND),
        (stream("/Filter/FlateDecode", CONTENT[:-4]), SOUND),  # without its checksum
        (stream("/Filter[/ASCIIHexDecode/FlateDecode]", hexed(CONTENT)), SOUND),
        (stream("", b""), SOUND),
        (stream("/Filter/FlateDecode", b""), SOUND),
        (stream("/Filter/FlateDecode", zlib.compress(b"")), SOUND),
        (b"[]", SOUND),
        (b"", CORRUPT),
        (b"null", CORRUPT),
        (b"17", CORRUPT),
        (b"<</Length 3>>", CORRUPT),
        (b"[99 0 R]", CORRUPT),
        (stream("/Filter/FlateDecode", CONTENT[:40]), CORRUPT),
        (stream("/Filter/FlateDecode", CONTENT[:-5]), CORRUPT),
        (stream("/Filter/FlateDecode", b"\x93" * 90), CORRUPT),
        (stream("/Filter[/ASCIIHexDecode/FlateDecode]", hexed(CONTENT[:40])), CORRUPT),
        (stream("/Filter/ASCII85Decode", b"\xff\xfe!!zz~>"), CORRUPT),
        (stream("/Filter/FooDecode", CONTENT), CORRUPT),
        (stream("/Filter/DCTDecode", saved("JPEG")), CORRUPT),
    ],
)
def test_contents(of, content: bytes, code: ErrorCode | None) -> None:
    found, message = of([Page(content_object=content)])
    assert found is code
    assert message is None or "content" in message


def test_a_page_without_contents_is_blank(of) -> None:
    whole = pdf([Page()])
    without = whole.replace(b"/Contents 4 0 R", b"/Nothing 4 0 R")
    assert without != whole
    source = open_source_of(without)
    assert (source.page(1, WHITE) == 255).all()
    assert source.warning is None


def open_source_of(document: bytes):
    return PdfSource(BytesIO(document), ReadingOptions(dpi=72))


def test_a_wrong_checksum_is_doubtful(of) -> None:
    """The writer may have computed it wrongly; other readers ignore it."""
    data = zlib.compress(PICTURE.tobytes())
    wrong = data[:-4] + bytes(4)
    entries = f"{RGB}/Filter/FlateDecode"
    code, warning = of([Page(DRAWN, image_object=image(entries, wrong))])
    assert code is SOUND
    assert "the checksum of the image /Im is wrong" in warning
    code, warning = of(
        [Page(content_object=stream("/Filter/FlateDecode", CONTENT[:-4] + bytes(4)))]
    )
    assert code is SOUND
    assert "the checksum of its content is wrong" in warning


def test_what_is_drawn_and_is_not_there(of) -> None:
    assert of([Page("/Other Do")])[0] is CORRUPT
    assert of([Page(DRAWN, image_object=b"")])[0] is CORRUPT
    assert of([Page(DRAWN, image_object=b"null")])[0] is CORRUPT
    assert of([Page("/#49m Do")]) == (SOUND, None)  # another way to write it
    assert of([Page("/stray#z Do")]) == (SOUND, None)
    assert of([Page("/é#fe Do")])[0] is CORRUPT
    assert of([Page("BT /F 8 Tf 5 5 Td (as in /Other Do, for one) Tj ET")]) == (SOUND, None)
    assert of([Page("% /Other Do\n/Im Do")]) == (SOUND, None)


def form(content: bytes, entries: str = "") -> bytes:
    return stream(f"/Type/XObject/Subtype/Form/BBox[0 0 72 36]{entries}", content)


BAD_IMAGE = image(f"{RGB}/Filter/FlateDecode", zlib.compress(PICTURE.tobytes())[:500])


@pytest.mark.parametrize(
    ("outer", "inner", "code"),
    [
        (form(b"/Y Do", "/Resources<</XObject<</Y 6 0 R>>>>"), form(b"0 0 9 9 re f"), SOUND),
        (form(b"/Y Do", "/Resources<</XObject<</Y 6 0 R>>>>"), BAD_IMAGE, CORRUPT),
        (form(b"/Im Do"), BAD_IMAGE, SOUND),  # the page's resources, and an image of them
        (form(b"/Y Do"), form(b"0 0 9 9 re f"), CORRUPT),
        (form(b"/Y Do", "/Resources<</XObject<</Y 6 0 R>>>>"), b"null", CORRUPT),
        (form(b"\x93" * 40, "/Filter/FlateDecode"), b"null", CORRUPT),
        (form(b"/X Do", "/Resources<</XObject<</X 5 0 R>>>>"), b"null", SOUND),  # itself
        (b"null", BAD_IMAGE, CORRUPT),
    ],
)
def test_what_is_drawn_through_forms(of, outer: bytes, inner: bytes, code) -> None:
    page = Page("/Im Do" if b"/Im Do" not in outer else "/X Do", image_object=outer)
    if b"/Im Do" in outer:
        resources = "/Resources<</XObject<</X 6 0 R/Im 7 0 R>>>>"
        page, inner = Page("/X Do", of_page=resources), outer
        more = [inner, image(RGB, PICTURE.tobytes())]
    else:
        more = [inner]
    assert of([page], more=more)[0] is code


def test_masks_are_looked_at_too(of) -> None:
    gray = "/ColorSpace/DeviceGray/BitsPerComponent 8/Filter/FlateDecode"
    mask = zlib.compress(PICTURE[:, :, 0].tobytes())
    page = Page(DRAWN, image=PICTURE, of_image="/SMask 6 0 R")
    assert of([page], more=[image(gray, mask)]) == (SOUND, None)
    assert of([page], more=[image(gray, mask[:99])])[0] is CORRUPT


@pytest.mark.parametrize(("flags", "code"), [(4, CORRUPT), (2, SOUND)])
def test_how_annotations_look(of, flags: int, code: ErrorCode | None) -> None:
    look = form(b"/Y Do", "/Resources<</XObject<</Y 8 0 R>>>>")
    stamp = f"<</Type/Annot/Subtype/Stamp/Rect[0 16 40 36]/AP<</N 6 0 R>>/F {flags}>>"
    more = [look, stamp.encode(), BAD_IMAGE]
    assert of([Page("", of_page="/Annots[7 0 R]")], more=more)[0] is code


def test_other_pages_of_the_file_are_sound(tmp_path: Path) -> None:
    whole = image(f"{RGB}/Filter/FlateDecode", zlib.compress(PICTURE.tobytes()))
    pages = [Page(DRAWN, image_object=one) for one in (whole, BAD_IMAGE, whole)]
    (tmp_path / "three.pdf").write_bytes(pdf(pages))
    source = open_source(LocalFile(str(tmp_path / "three.pdf")), ReadingOptions())
    first = source.page(1, WHITE)
    with pytest.raises(ImageError, match="/Im"):
        source.page(2, WHITE)
    assert np.array_equal(source.page(3, WHITE), first)
    source.close()


def test_what_qpdf_cannot_open_is_drawn_without_a_look(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "some.pdf").write_bytes(pdf([Page()]))

    def refuse(*_: object, **__: object) -> None:
        raise pikepdf.PdfError

    monkeypatch.setattr(pikepdf, "open", refuse)
    source = open_source(LocalFile(str(tmp_path / "some.pdf")), ReadingOptions(dpi=72))
    assert source.page(1, WHITE)[10, 20].tolist() == [0, 0, 255]
    source.close()


@pytest.mark.parametrize("name", ["contents_lost.pdf", "jpx_broken.pdf"])
def test_given_files_whose_pages_cannot_be_drawn(corpus: Path, name: str) -> None:
    source = open_source(
        LocalFile(str(corpus.parent / "cases" / "inputs" / name)), ReadingOptions()
    )
    with pytest.raises(ImageError) as caught:
        source.page(1, WHITE)
    assert caught.value.code is ErrorCode.CORRUPT
    source.close()
