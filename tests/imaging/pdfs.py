"""A writer of PDF files, object by object."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes:
        content: drawing operators; `/Im Do` draws the image in the unit square.
        size: width and height in points.
        image: uint8 (height, width, 3), stored as it is.
        of_image: more entries of the image's dictionary.
        of_page: more entries of the page's dictionary.
        content_object, image_object: bytes to write instead of the stream; b"" for no object.
    """

    content: str = "0 0 1 rg 10 10 30 30 re f"
    size: tuple[float, float] = (72.0, 36.0)
    image: np.ndarray | None = None
    of_image: str = ""
    of_page: str = ""
    content_object: bytes | None = None
    image_object: bytes | None = None


def pdf(pages: Sequence[Page], of_catalog: str = "", more: Sequence[bytes] = ()) -> bytes:
    """Write a PDF with these pages.

    Args:
        pages: page n (from 0) is object 3 + 3n.
        of_catalog: more entries of the catalog.
        more: further objects; their numbers follow those of the pages.
    """
    kids = " ".join(f"{3 + 3 * number} 0 R" for number in range(len(pages)))
    objects = [
        f"<</Type/Catalog/Pages 2 0 R{of_catalog}>>".encode(),
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode(),
    ]
    for number, page in enumerate(pages):
        own = 3 + 3 * number
        fonts = "/Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
        width, height = page.size
        objects += [
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {width} {height}]/Contents {own + 1} 0 R"
            f"/Resources<</XObject<</Im {own + 2} 0 R>>{fonts}>>{page.of_page}>>".encode(),
            _or(page.content_object, stream("", page.content.encode())),
            _or(page.image_object, _image(page)),
        ]
    objects += more
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, one in enumerate(objects, 1):
        places.append(len(out))
        if one:
            out += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n" % (len(objects) + 1)
    return bytes(out + b"%d\n%%%%EOF\n" % table)


def _or(given: bytes | None, usual: bytes) -> bytes:
    return usual if given is None else given


def _image(page: Page) -> bytes:
    image = np.zeros((1, 1, 3), np.uint8) if page.image is None else page.image
    height, width, _ = image.shape
    entries = (
        f"/Type/XObject/Subtype/Image/Width {width}/Height {height}/BitsPerComponent 8"
        f"/ColorSpace/DeviceRGB{page.of_image}"
    )
    return stream(entries, image.tobytes())


def stream(entries: str, data: bytes) -> bytes:
    """Write a stream object."""
    return f"<<{entries}/Length {len(data)}>>\nstream\n".encode() + data + b"\nendstream"
