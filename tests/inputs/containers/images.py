"""Images, and inputs as lists of what can be compared."""

import io
from contextlib import closing
from pathlib import Path

from PIL import Image

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.attaching import Attaching
from ppcli.errors import ImageError
from ppcli.inputs.listing import Listing
from tests.conftest import blocks


def png(seed: int = 0) -> bytes:
    """Return a small image, another one for each seed."""
    file = io.BytesIO()
    Image.fromarray(blocks(32, 32, 8, seed=seed)).save(file, "PNG")
    return file.getvalue()


def listing_of(*inputs: str | Path, **options: object) -> Listing:
    """Return the inputs as a command lists them."""
    listing = Listing(tuple(map(str, inputs)), **options)  # type: ignore[arg-type]
    listing.check()
    return listing


def members(*inputs: str | Path, **options: object) -> list[tuple[str, bytes | str]]:
    """Return the identity of each input, and its bytes or the code of its error."""
    found = []
    for ref in listing_of(*inputs, **options):
        try:
            with ref.file.open() as file:
                content: bytes | str = file.read()
                assert file.size == len(content)
                assert file.state == ref.file.state()
        except ImageError as error:
            content = error.code.value
        found.append((ref.image_id, content))
    return found


def attached(*inputs: str, **options: object) -> list[tuple[str, object, dict[str, object] | None]]:
    """Return identity, content and columns of each input as a run gets them."""
    found = []
    with (
        Arrivals(iter(listing_of(*inputs, **options))) as arrivals,
        closing(Attaching(arrivals)) as attaching,
    ):
        for ref in attaching:
            try:
                with ref.file.open() as file:
                    content: object = file.read()
            except ImageError as error:
                content = error.code.value
            columns = ref.columns and {name: one.as_py() for name, one in ref.columns.items()}
            found.append((ref.image_id, content, columns))
            attaching.finished()
    return found
