"""What the handles of members have in common: states, faults, and opening their container."""

import io
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, BinaryIO, ClassVar

import xxhash

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import FileState, InputFile, OpenFile
from ppcli.filesystems.store_faults import StoreError
from ppcli.inputs.object_file import ObjectFile, open_in_parts
from ppcli.inputs.sniff import has_image_signature

MOST_MEMBER_BYTES = 1 << 30
HEAD_BYTES = 1024  # of a member, which tell whether it is an image
_BLOCK_BYTES = 1 << 20  # of a request for headers


class ContainerError(ImageError):
    """A container is damaged, or cannot be read further. It becomes an error row of its own."""


class NoImagesError(ContainerError):
    """A Parquet file has no image column, or several, or not the one that was asked for."""

    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.NOT_AN_IMAGE, message)

    def __reduce__(self) -> Any:  # noqa: ANN401
        return type(self), (self.message,)


@dataclass(frozen=True, slots=True)
class FaultyFile:
    """A container or a member that cannot be read.

    Attributes:
        name: shown instead of a path.
        error: why it cannot be read.
        listed: state of the container; None if it is unknown.
    """

    name: str
    error: ImageError = field(compare=False)
    listed: FileState | None = None
    local_path: None = field(default=None, init=False)
    is_far: ClassVar[bool] = False

    def open(self) -> OpenFile:
        """Raise the error.

        Raises:
            ImageError: always.
        """
        raise self.error

    def state(self) -> FileState | None:
        """Return a state that changes with the container; its size is not that of an image."""
        return None if self.listed is None else member_state(self.listed, 0)


class _OpenContainer(OpenFile):
    """A container whose disk or store may fail, which is no damage of the container."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes, or all that are left.

        Raises:
            ImageError: `unreadable`.
        """
        try:
            return super().read(size)
        except OSError as error:
            raise ImageError(ErrorCode.UNREADABLE, error.strerror or str(error)) from error


def open_container(container: InputFile, listed: FileState | None = None) -> OpenFile:
    """Open a container for reading at any place.

    Args:
        container: its handle.
        listed: its state when its members were listed; None if they are not listed yet.

    Returns:
        The file; if its bytes cannot be read, it raises `ImageError`.

    Raises:
        ImageError: it cannot be opened, or changed since.
    """
    opened = _opened(container, listed)
    state, size = opened.state, opened.size
    return _OpenContainer(opened.detach(), state, size)


def _opened(container: InputFile, listed: FileState | None) -> OpenFile:
    if isinstance(container, ObjectFile):
        state = listed or container.state()
        if state is not None and state.size >= 0:
            return open_in_parts(container.url, state, _BLOCK_BYTES)
    opened = container.open()
    if listed is not None and _identity(opened.state) != _identity(listed):
        opened.close()
        raise ImageError(ErrorCode.UNREADABLE, "its container changed since it was listed")
    return opened


def _identity(state: FileState) -> tuple[int, int]:
    return state.size, state.version


def read_range(
    container: InputFile, listed: FileState, offset: int, size: int, up_to: bool = False
) -> bytes:
    """Read a part of a container.

    Args:
        container: its handle.
        listed: its state when its members were listed.
        offset: of the first byte.
        size: how many bytes.
        up_to: whether fewer are enough.

    Raises:
        ImageError: they cannot be read, or are no member of reasonable size; or the container
            changed.
    """
    whole = size
    if listed.size >= 0:
        size = max(0, min(size, listed.size - offset))
    if size < whole and not up_to:
        raise ImageError(ErrorCode.TRUNCATED, "its container ends before it")
    check_member_size(size)
    if isinstance(container, ObjectFile):
        return finished(start_range(container, listed, offset, size, up_to), container)
    with open_container(container, listed) as opened:
        return read_exactly(opened, offset, size)


def start_range(
    container: InputFile, listed: FileState, offset: int, size: int, up_to: bool = False
) -> "Future[bytes]":
    """Begin to read a part of a far container, in the background; see `read_range`."""
    from ppcli.filesystems.objects import start_part

    assert isinstance(container, ObjectFile)
    end = min(offset + size, listed.size)
    try:
        check_member_size(end - offset)
        if end < offset + size and not up_to:
            raise ImageError(ErrorCode.TRUNCATED, "its container ends before it")
    except ImageError as error:
        refused: Future[bytes] = Future()
        refused.set_exception(error)
        return refused
    return start_part(container.url, listed, offset, end)


def finished(reading: "Future[bytes]", container: InputFile) -> bytes:
    """Return the bytes that `start_range` began to read.

    Raises:
        ImageError: they cannot be read.
    """
    try:
        return reading.result()
    except StoreError as error:
        raise error.as_image_error() from None


def read_exactly(file: BinaryIO, offset: int, size: int) -> bytes:
    """Read a part of an open container.

    Raises:
        ImageError: `truncated` if the container ends before, else `unreadable`.
    """
    try:
        file.seek(offset)
        data = file.read(size)
    except (OSError, OverflowError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(ErrorCode.UNREADABLE, reason) from error
    if len(data) < size:
        raise ImageError(ErrorCode.TRUNCATED, "its container ends before it")
    return data


def check_member_size(size: int) -> None:
    """Refuse members that are larger than any image.

    Raises:
        ImageError: `too_large`.
    """
    if size > MOST_MEMBER_BYTES:
        raise ImageError(
            ErrorCode.TOO_LARGE,
            f"the member has {size:,} bytes; at most {MOST_MEMBER_BYTES:,} bytes are read",
        )


def begins_like_an_image(data: bytes, name: str = "") -> bool:
    """Return whether bytes begin like an image, so that they count as a file in a folder would.

    Args:
        data: the first bytes.
        name: of the member, if it has one.
    """
    head = data[:HEAD_BYTES]
    file = OpenFile(io.BytesIO(head), FileState(len(head), 0))
    return has_image_signature(file, name)


def member_state(listed: FileState, place: int, size: int = -1) -> FileState:
    """Return the state of a member, which follows from its container without reading it.

    Args:
        listed: state of the container.
        place: where the member is in it: an offset or a row.
        size: of the member in bytes; -1 if that is unknown until it is read.
    """
    version = xxhash.xxh3_64_intdigest(f"{listed.size} {listed.version} {place}".encode())
    return FileState(size, version)


def opened_bytes(content: bytes, state: FileState | None) -> OpenFile:
    """Return bytes as an open file that knows its state and its true size."""
    return OpenFile(io.BytesIO(content), state or FileState(len(content), 0), size=len(content))
