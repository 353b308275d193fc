"""Kinds of Netpbm files without a reader."""

from typing import BinaryIO

from ppcli.errors import ErrorCode, ImageError


def unsupported(file: BinaryIO) -> ImageError | None:
    """Why a Netpbm file has no reader here, if its first bytes tell that it has none."""
    file.seek(0)
    magic = file.read(2)
    if magic == b"P7":
        return ImageError(
            ErrorCode.UNSUPPORTED_FORMAT, "it is PAM, which is not read here; save it as PNG"
        )
    if magic in (b"PF", b"Pf"):
        return ImageError(
            ErrorCode.UNSUPPORTED_MODE,
            "PFM holds floating-point numbers, which have no one way to 8 bits; convert it first",
        )
    return None
