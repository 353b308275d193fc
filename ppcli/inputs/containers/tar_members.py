"""Members of tar archives, as input files: parts of a plain one, or of the stream of another."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import ClassVar

from ppcli.errors import ImageError
from ppcli.files import FileState, InputFile, OpenFile
from ppcli.inputs.ahead import taken
from ppcli.inputs.containers.attached import Content, SequentialFile
from ppcli.inputs.containers.container_kinds import SEPARATOR, ContainerKind
from ppcli.inputs.containers.member_files import (
    check_member_size,
    finished,
    member_state,
    opened_bytes,
    read_range,
    start_range,
)
from ppcli.inputs.containers.tar_streams import ForwardStream


@dataclass(frozen=True, slots=True)
class TarMember:
    """A member of a plain tar archive.

    Attributes:
        container: handle of the archive.
        name: path of the archive and name of the member.
        offset: of its first byte in the archive.
        size: in bytes.
        container_state: state of the archive when its members were listed.
    """

    container: InputFile
    name: str
    offset: int
    size: int
    container_state: FileState
    local_path: None = field(default=None, init=False)

    @property
    def is_far(self) -> bool:
        """Whether the archive is on another machine."""
        return self.container.is_far

    @property
    def listed(self) -> FileState:
        """The state of the member."""
        return self.state()

    def open(self) -> OpenFile:
        """Read the member and open its bytes.

        Raises:
            ImageError: it is cut off or too large, or the archive cannot be read or has changed.
        """
        if (reading := taken(self)) is not None:
            return opened_bytes(finished(reading, self.container), self.state())
        content = read_range(self.container, self.container_state, self.offset, self.size)
        return opened_bytes(content, self.state())

    def start(self) -> "Future[bytes]":
        """Begin to read the member, in the background."""
        return start_range(self.container, self.container_state, self.offset, self.size)

    def state(self) -> FileState:
        """Return the size of the member, and a version that follows from those of the archive."""
        return member_state(self.container_state, self.offset, self.size)


@dataclass(frozen=True, slots=True)
class StreamMember(SequentialFile):
    """A member of a compressed tar archive.

    Attributes:
        container: handle of the archive.
        kind: how it is compressed.
        member: name of the member.
        offset: of its first byte in the decompressed archive.
        size: in bytes.
        container_state: state of the archive when its members were listed.
    """

    container: InputFile
    kind: ContainerKind
    member: str
    offset: int
    size: int
    container_state: FileState
    local_path: None = field(default=None, init=False)
    is_far: ClassVar[bool] = False  # a thread of the run reads it

    @property
    def name(self) -> str:
        """The path of the archive and the name of the member."""
        return self.container.name + SEPARATOR + self.member

    @property
    def series(self) -> object:
        """The archive."""
        return self.container, self.container_state

    def reader(self) -> "_StreamReader":
        """Open the archive at its start.

        Raises:
            ImageError: it cannot be opened, or changed since it was listed.
        """
        return _StreamReader(ForwardStream(self.container, self.kind, self.container_state))

    def state(self) -> FileState:
        """Return the size of the member, and a version that follows from those of the archive."""
        return member_state(self.container_state, self.offset, self.size)


class _StreamReader:
    def __init__(self, stream: ForwardStream) -> None:
        self._stream = stream

    def read(self, member: StreamMember) -> Content:
        try:
            check_member_size(member.size)
        except ImageError as error:
            return Content(error=error)
        return Content(self._stream.read_member(member.offset, member.size))

    def close(self) -> None:
        self._stream.close()
