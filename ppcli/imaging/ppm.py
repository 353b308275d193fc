"""Detects unsupported kinds of Netpbm files."""

from typing import BinaryIO

from ppcli.errors import ErrorCode, ImageError


def unsupported(file: BinaryIO) -> ImageError | None:
    """Return the error for a kind of Netpbm file that is not supported, or None."""
    file.seek(0)
    magic = file.read(2)
    if magic == b"P7":
        return ImageError(ErrorCode.UNSUPPORTED_FORMAT, "PAM is not supported; save it as PNG")
    if magic in (b"PF", b"Pf"):
        return ImageError(
            ErrorCode.UNSUPPORTED_MODE,
            "the floating-point values of PFM have no unambiguous conversion to 8 bits; "
            "convert the image first",
        )
    return None
