"""Members that only a pass through their container gives: their bytes travel with the handle."""

from abc import ABC, abstractmethod
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from ppcli.errors import ErrorCode, ImageError, as_image_error
from ppcli.files import FileState, InputFile, OpenFile
from ppcli.inputs.containers.member_files import opened_bytes
from ppcli.inputs.refs import Columns


@dataclass(frozen=True, slots=True)
class Content:
    """What a container has at a place.

    Attributes:
        data: the bytes; None if they are elsewhere, or cannot be read.
        elsewhere: the file that the container names instead.
        error: why there are no bytes.
        columns: the kept columns of the row; None if none are kept.
        column_bytes: bytes of the kept columns.
    """

    data: bytes | None = None
    elsewhere: InputFile | None = None
    error: ImageError | None = None
    columns: Columns | None = None
    column_bytes: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return len(self.data or b"") + self.column_bytes


class MemberReader(Protocol):
    """Reads members of one container, in order, while it goes through it once."""

    def read(self, member: Any) -> Content:  # noqa: ANN401
        """Return what a member holds, which comes after those that were read before.

        Raises:
            ImageError: it cannot be read.
        """

    def close(self) -> None:
        """Close the container."""


class SequentialFile(ABC):
    """A member that should be read in the order of its container.

    Its `open` goes through the container up to its place, so that it works anywhere, but slowly.

    Attributes:
        local_path: None.
    """

    __slots__ = ()

    local_path: None
    is_far: ClassVar[bool] = False

    @property
    @abstractmethod
    def name(self) -> str:
        """The path of the container and the name of the member."""

    @property
    @abstractmethod
    def series(self) -> object:
        """Equal for members that one reader reads."""

    @abstractmethod
    def reader(self) -> MemberReader:
        """Open the container.

        Raises:
            ImageError: it cannot be opened, or changed since it was listed.
        """

    @abstractmethod
    def state(self) -> FileState:
        """Return a state that follows from that of the container."""

    def open(self) -> OpenFile:
        """Go through the container up to the member, and open its bytes.

        Raises:
            ImageError: it cannot be read.
        """
        with closing(self.reader()) as reader:
            return opened_content(reader.read(self), self.state())


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A member with its bytes. It is equal to another one if the member is.

    Attributes:
        member: where the bytes came from.
        content: the bytes, or why there are none.
    """

    member: SequentialFile
    content: Content = field(compare=False, repr=False)
    local_path: None = field(default=None, init=False)

    @property
    def is_far(self) -> bool:
        """Whether the container names a file on another machine instead of holding the bytes."""
        return self.content.elsewhere is not None and self.content.elsewhere.is_far

    @property
    def name(self) -> str:
        """The name of the member."""
        return self.member.name

    @property
    def read_size(self) -> int | None:
        """Size in bytes; None if it is not known yet."""
        if self.content.data is not None:
            return len(self.content.data)
        state = None if self.content.elsewhere is None else self.content.elsewhere.state()
        return None if state is None else state.size

    def open(self) -> OpenFile:
        """Open the bytes, without a copy.

        Raises:
            ImageError: there are none.
        """
        return opened_content(self.content, self.member.state())

    def state(self) -> FileState | None:
        """Return the state of the member, which does not depend on its bytes."""
        return self.member.state()


def opened_content(content: Content, state: FileState | None) -> OpenFile:
    """Return content as an open file.

    Raises:
        ImageError: there is none.
    """
    if content.elsewhere is not None:
        opened = content.elsewhere.open()
        opened.state = state or opened.state
        return opened
    if content.data is None:
        raise content.error or ImageError(ErrorCode.EMPTY, "there is no image")
    return opened_bytes(content.data, state)


class SeriesReader:
    """Reads members of one container after another; each container is opened once."""

    def __init__(self) -> None:
        self._series: object = None
        self._reader: MemberReader | None = None

    def content_of(self, member: SequentialFile) -> Content:
        """Return what a member holds, or why it cannot be read."""
        try:
            if self._reader is None or self._series != member.series:
                self.close()
                self._reader, self._series = member.reader(), member.series
            return self._reader.read(member)
        except Exception as error:
            self.close()
            return Content(error=as_image_error(error))

    def close(self) -> None:
        """Close the container that was read last."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
