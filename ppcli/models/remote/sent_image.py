"""An image as it is sent to a server."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ppcli.coding.coder_options import CoderOptions

_PNG = "image/png"
_MEDIA_TYPES = {"PNG": _PNG, "JPEG": "image/jpeg", "WEBP": "image/webp"}


@dataclass(frozen=True, slots=True)
class SentImage:
    """The bytes of an image, in a format that servers read.

    Attributes:
        media_type: such as `image/png`.
        data: the bytes of the file.
        coder: how the server prunes it; None to feed every patch.
        name: under which vLLM caches it; None for its content.
    """

    media_type: str
    data: bytes
    coder: CoderOptions | None = None
    name: str | None = None

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return len(self.data)

    @classmethod
    def of_file(
        cls, file_format: str, data: bytes, coder: CoderOptions | None = None
    ) -> "SentImage":
        """Return an image whose file is sent as it is.

        Args:
            file_format: PNG, JPEG or WEBP.
            data: the bytes of the file.
            coder: how the server prunes it; None to feed every patch.
        """
        return cls(_MEDIA_TYPES[file_format], data, coder)

    @classmethod
    def of_pixels(cls, pixels: NDArray[np.uint8], coder: CoderOptions | None = None) -> "SentImage":
        """Return pixels, RGB uint8 (height, width, 3), as PNG."""
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", compress_level=1)
        return cls(_PNG, file.getvalue(), coder)

    def as_url(self) -> str:
        """Return the image as a `data:` URL."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"
