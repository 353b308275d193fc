"""Files in object stores and on other machines, as inputs."""

import io
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from ppcli.errors import MissingDependencyError, UsageError
from ppcli.files import FileState, MemoryFile, OpenFile
from ppcli.filesystems.objects import StoredFile, read_part, start_reading, state_at, wait_for
from ppcli.filesystems.schemes import without_secrets
from ppcli.filesystems.store_faults import StoreError
from ppcli.inputs.ahead import taken

if TYPE_CHECKING:
    from typing_extensions import Buffer

_BLOCK_BYTES = 8 << 20
_HEAD_BYTES = 64 << 10
_MOST_BLOCKS = 4


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """A file in a store. Each `open` reads it, or the bytes that are read ahead already.

    Attributes:
        url: the whole URL.
        listed: size and version when it was listed; None if it was named in a list.
    """

    url: str = field(repr=False)
    listed: FileState | None = field(default=None, compare=False)
    local_path: None = field(default=None, init=False)
    is_far: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """The URL, without user and password."""
        return without_secrets(self.url)

    def open(self) -> OpenFile:
        """Read the file and open its bytes; of a large one, only the parts that are asked for.

        Like a local file, it has the bytes and the state of this moment, not of the listing.

        Raises:
            ImageError: the store does not send it within the limits.
        """
        try:
            got = wait_for(taken(self) or self.start(), self.url)
        except StoreError as error:
            raise error.as_image_error() from None
        if got.content is None:
            return open_in_parts(self.url, got.state, _BLOCK_BYTES)
        opened = MemoryFile(self.name, got.content).open()
        opened.state = got.state
        return opened

    def start(self) -> "Future[StoredFile]":
        """Begin to read the file, in the background."""
        return start_reading(self.url, self.listed)

    def state(self) -> FileState | None:
        """Return the state when it was listed, or else ask the store; None if it is unknown."""
        if self.listed is not None:
            return self.listed
        try:
            return state_at(self.url)
        except (StoreError, UsageError, MissingDependencyError):
            return None


def open_in_parts(url: str, state: FileState, block: int = _HEAD_BYTES) -> OpenFile:
    """Open a file in a store of which only some parts are needed.

    Args:
        url: the file.
        state: size and version; a read raises `OSError` if the file has others.
        block: bytes of each request.
    """
    return OpenFile(_PartsFile(url, state, block), state)


class _PartsFile(io.RawIOBase):
    """A large file in a store, read in blocks; the last few are kept."""

    def __init__(self, url: str, state: FileState, block: int) -> None:
        super().__init__()
        self._url, self._state, self._size = url, state, block
        self._place = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move the position; one before the start raises `OSError`."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._state.size}[whence]
        if start + offset < 0:
            raise OSError("there is nothing before the start of a file")
        self._place = start + offset
        return self._place

    def readinto(self, buffer: "Buffer", /) -> int:
        """Read up to the end of a block."""
        target = memoryview(buffer).cast("B")
        number, skipped = divmod(self._place, self._size)
        if self._place >= self._state.size:
            return 0
        found = memoryview(self._block(number))[skipped : skipped + len(target)]
        target[: len(found)] = found
        self._place += len(found)
        return len(found)

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        start = number * self._size
        end = min(start + self._size, self._state.size)
        try:
            self._blocks[number] = read_part(self._url, self._state, start, end)
        except StoreError as error:
            raise OSError(error.reason) from None  # decoders take it like a failing disk
        while len(self._blocks) > _MOST_BLOCKS:
            self._blocks.popitem(last=False)
        return self._blocks[number]
