"""An object as a file for Arrow."""

import io
import os
from collections.abc import Callable


class FarFile(io.RawIOBase):
    """An object, of which each read fetches exactly what is asked for.

    Args of the constructor:
        read_part: returns the bytes from a position up to another one.
        size: of the object in bytes.
    """

    def __init__(self, read_part: Callable[[int, int], bytes], size: int) -> None:
        self._read_part = read_part
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}
        self._position = base[whence] + offset
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes, or all that are left."""
        left = max(0, self._size - self._position)
        length = left if size is None or size < 0 else min(size, left)
        if not length:
            return b""
        data = self._read_part(self._position, self._position + length)
        self._position += length
        return data
