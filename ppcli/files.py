"""The one place where input files are found, opened and measured.

An input is a handle (`InputFile`), not a path. Everything that reads images takes the handle and
calls `open()` once; what it needs to know about the file (its size, whether it has changed) comes
from the open file. There are handles for local files and for bytes in memory. A new kind of input,
such as an object in cloud storage or a member of an archive, needs a new handle here; the code that
decodes images stays the same. Folders are listed here too.
"""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import BinaryIO, ClassVar, NamedTuple, Protocol

from ppcli.errors import ErrorCode, ImageError

# Without O_NONBLOCK, opening a named pipe waits for a writer; regular files ignore the flag.
_O_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_OPEN_FLAGS = os.O_RDONLY | _O_NONBLOCK
for _name in ("O_CLOEXEC", "O_NOCTTY", "O_BINARY", "O_NOINHERIT"):
    _OPEN_FLAGS |= getattr(os, _name, 0)
# A decoder that reads a header field asks for exactly its bytes; larger reads ask for a block.
_MAX_FIELD_BYTES = 4096
_LARGEST_SIZE = 2**63 - 1  # that a column holds, and no disk


class FileState(NamedTuple):
    """Size and version of a file, to detect changes without reading it.

    Attributes:
        size: size in bytes; -1 if it is unknown until the file is read.
        version: modification time of a local file, in nanoseconds; for other files, a number
            that changes with the content.
        inode: inode number of a local file, which changes if another file replaces it; 0 for
            other files.
    """

    size: int
    version: int
    inode: int = 0


class OpenFile(io.BufferedReader):
    """An open input file: binary, buffered, seekable.

    Attributes:
        state: state of the open file itself, so that it describes the bytes that are read.
        size: size in bytes, also where the state has none.
        past_end: set when a read asks for more bytes than are left, as in a truncated file.
    """

    def __init__(
        self, raw: BinaryIO | io.RawIOBase, state: FileState, size: int | None = None
    ) -> None:
        super().__init__(raw)  # type: ignore[arg-type]  # any object with readinto() works
        self.state = state
        self.size = state.size if size is None else size
        self.past_end = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes, or all that are left."""
        data = super().read(size)
        wanted = 1 if size is None or size < 0 or size > _MAX_FIELD_BYTES else size
        if len(data) < wanted:
            self.past_end = True
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the position; an offset before the start of the file raises `OSError`."""
        try:
            return super().seek(offset, whence)
        except OSError:
            self.past_end = self.past_end or whence == os.SEEK_END
            raise


class InputFile(Protocol):
    """Where the bytes of one input are.

    A handle is small and picklable, and keeps nothing open. Two handles are equal if they name
    the same bytes.
    """

    @property
    def name(self) -> str:
        """The path or URL to show to users; bytes that are not UTF-8 are surrogates."""

    @property
    def local_path(self) -> str | None:
        """The path of a local file; None for any other input."""

    @property
    def is_far(self) -> bool:
        """Whether its bytes are on another machine, so that reading them mostly means waiting."""

    def open(self) -> OpenFile:
        """Open the file for reading.

        Raises:
            ImageError: `not_found` or `unreadable`.
        """

    def state(self) -> FileState | None:
        """Return the current state of the file without opening it; None if it is unknown."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file on this machine.

    Attributes:
        path: the path, as `os.fsdecode` returns it.
        is_special: whether it is known to be a pipe, a socket or a device. It is not opened then,
            because opening it may affect the process at its other end.
    """

    path: str
    is_special: bool = False
    is_far: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The path."""
        return self.path

    @property
    def local_path(self) -> str | None:
        """The path."""
        return self.path

    def open(self) -> OpenFile:
        """Open the file if it is a regular one; never wait for the writer of a named pipe.

        Raises:
            ImageError: `not_found` or `unreadable`.
        """
        if self.is_special:
            raise _not_regular()
        try:
            descriptor = _open_descriptor(self.path)
        except (FileNotFoundError, NotADirectoryError):
            raise ImageError(ErrorCode.NOT_FOUND, "there is no such file") from None
        except OSError as error:
            raise _open_error(self.path, error) from None
        except ValueError:  # it contains NUL, or characters that no path can have
            raise ImageError(ErrorCode.NOT_FOUND, "its name is not a valid path") from None
        try:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise _is_folder()
            if not stat.S_ISREG(status.st_mode):
                raise _not_regular()
            raw = io.FileIO(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return OpenFile(raw, _state_of(status))

    def state(self) -> FileState | None:
        """Return size and modification time of what is at the path now; None if nothing is."""
        try:
            return _state_of(os.stat(self.path))
        except (OSError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """Bytes that were part of a request or a table.

    Attributes:
        name: shown instead of a path.
        content: the bytes.
        version: changes with the content; not needed if the name does.
    """

    name: str
    content: bytes = field(compare=False, repr=False)
    version: int = 0
    local_path: None = field(default=None, init=False)
    is_far: ClassVar[bool] = False

    def open(self) -> OpenFile:
        """Open the bytes for reading, without a copy."""
        return OpenFile(io.BytesIO(self.content), self.state())

    def state(self) -> FileState:
        """Return the number of bytes, and the version."""
        return FileState(len(self.content), self.version)


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """A temporary local copy of a stream.

    Attributes:
        name: name of the stream.
        copy: the local file.
        content: state of the stream. It depends on the bytes, not on the time of the copy.
    """

    name: str
    copy: LocalFile
    content: FileState
    local_path: None = field(default=None, init=False)
    is_far: ClassVar[bool] = False

    def open(self) -> OpenFile:
        """Open the copy.

        Raises:
            ImageError: `not_found` or `unreadable`.
        """
        opened = self.copy.open()
        opened.state = self.content
        return opened

    def state(self) -> FileState:
        """Return the state of the stream."""
        return self.content


@dataclass(frozen=True, slots=True)
class MissingFile:
    """A name that does not lead to a file.

    Attributes:
        name: the name.
        reason: why it cannot be read.
        code: the same as a code.
    """

    name: str
    reason: str
    code: ErrorCode = ErrorCode.NOT_FOUND
    local_path: None = field(default=None, init=False)
    is_far: ClassVar[bool] = False

    def open(self) -> OpenFile:
        """Raise an error with the reason.

        Raises:
            ImageError: always.
        """
        raise ImageError(self.code, self.reason)

    def state(self) -> None:
        """Return None: there is no file."""


def current_size(file: InputFile) -> int | None:
    """Return the size of a file in bytes without opening it; None if it is unknown.

    A header, of an archive or a server, may claim any size; one that no file can have is unknown.
    """
    read: int | None = getattr(file, "read_size", None)
    if read is not None:
        return read
    state = file.state()
    return None if state is None or not 0 <= state.size <= _LARGEST_SIZE else state.size


class PathKind(Enum):
    """What is at a path, after symbolic links are followed."""

    MISSING = auto()
    BROKEN_LINK = auto()
    FOLDER = auto()
    FILE = auto()
    SPECIAL = auto()  # a pipe, a socket or a device


class FolderEntry(NamedTuple):
    """An entry of a folder.

    Attributes:
        name: its name in the folder.
        kind: what it is.
        state: of a file on another machine, when it was listed; None for any other.
    """

    name: str
    kind: PathKind
    state: FileState | None = None


def kind_of(path: str) -> PathKind:
    """Return what is at a path, with one `stat` unless nothing exists."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return PathKind.BROKEN_LINK if os.path.lexists(path) else PathKind.MISSING
    if stat.S_ISDIR(mode):
        return PathKind.FOLDER
    return PathKind.FILE if stat.S_ISREG(mode) else PathKind.SPECIAL


def exists(path: str) -> bool:
    """Return whether a path exists; broken symbolic links count."""
    return os.path.lexists(path)


def is_folder(path: str) -> bool:
    """Return whether a path is a folder or a link to one."""
    return os.path.isdir(path)


def list_folder(path: str) -> Iterator[FolderEntry]:
    """Yield the entries of a folder in arbitrary order, without symbolic links to folders.

    Only symbolic links need a `stat`. The empty path is the current folder.

    Raises:
        OSError: the folder cannot be listed.
    """
    with os.scandir(path or os.curdir) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield FolderEntry(entry.name, PathKind.FOLDER)
            elif entry.is_symlink():
                kind = kind_of(entry.path)
                if kind is not PathKind.FOLDER:
                    yield FolderEntry(entry.name, kind)
            else:
                regular = entry.is_file(follow_symlinks=False)
                yield FolderEntry(entry.name, PathKind.FILE if regular else PathKind.SPECIAL)


def open_stream(path: str) -> BinaryIO:
    """Open a file that is read once from start to end, such as a list. It may be a pipe.

    Raises:
        OSError: it cannot be opened.
    """
    return open(path, "rb")


def _open_descriptor(path: str) -> int:
    try:
        return os.open(path, _OPEN_FLAGS)
    except BlockingIOError:  # another program has a lease on the file; a blocking open ends it
        if kind_of(path) is not PathKind.FILE:
            raise
        return os.open(path, _OPEN_FLAGS & ~_O_NONBLOCK)


def _open_error(path: str, error: OSError) -> ImageError:
    """Return why an existing path could not be opened; sockets and some devices never can."""
    with suppress(OSError):
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            os.scandir(path).close()
            return _is_folder()  # Windows cannot open folders
        if not stat.S_ISREG(mode):
            return _not_regular()
    return ImageError(ErrorCode.UNREADABLE, error.strerror or str(error))


def _is_folder() -> ImageError:
    return ImageError(ErrorCode.UNREADABLE, "it is a folder")


def _not_regular() -> ImageError:
    return ImageError(ErrorCode.UNREADABLE, "it is not a regular file")


def _state_of(status: os.stat_result) -> FileState:
    return FileState(status.st_size, status.st_mtime_ns, status.st_ino)
