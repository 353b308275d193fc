"""Where inputs are looked for: on this machine, in object stores, and on web servers."""

import os
from collections.abc import Iterator
from typing import ClassVar, Protocol

from ppcli.errors import ErrorCode, ImageError, UsageError
from ppcli.files import (
    FileState,
    FolderEntry,
    InputFile,
    LocalFile,
    MemoryFile,
    MissingFile,
    PathKind,
    exists,
    kind_of,
    list_folder,
)
from ppcli.filesystems.schemes import is_url, known_scheme, scheme_of, without_secrets

_SLASHES_OF_BUCKETS = 2


class InputPlace(Protocol):
    """Files and folders that are named in one way.

    Attributes:
        is_far: whether they are on another machine.
        is_sorted: whether folders are listed in bytewise order of the names.
    """

    is_far: ClassVar[bool]
    is_sorted: ClassVar[bool]

    def kind_of(self, path: str) -> PathKind:
        """Return what is at a path.

        Raises:
            StoreError: the store does not tell.
        """

    def list_folder(self, path: str) -> Iterator[FolderEntry]:
        """Yield the entries of a folder.

        Raises:
            OSError, StoreError: the folder cannot be listed.
        """

    def join(self, folder: str, name: str) -> str:
        """Return the path of an entry of a folder."""

    def file(self, path: str, kind: PathKind, state: FileState | None = None) -> InputFile:
        """Return the handle of a file.

        Args:
            path: of the file.
            kind: what is there.
            state: when it was listed; None if unknown.
        """


class _LocalPlace:
    is_far: ClassVar[bool] = False
    is_sorted: ClassVar[bool] = False

    def kind_of(self, path: str) -> PathKind:
        return kind_of(path)

    def list_folder(self, path: str) -> Iterator[FolderEntry]:
        return list_folder(path)

    def join(self, folder: str, name: str) -> str:
        return os.path.join(folder, name)

    def file(self, path: str, kind: PathKind, state: FileState | None = None) -> InputFile:
        return LocalFile(path, is_special=kind is PathKind.SPECIAL)


class _StorePlace:
    """Object stores, and servers that list folders. A folder has no slash at its end."""

    is_far: ClassVar[bool] = True
    is_sorted: ClassVar[bool] = True

    def kind_of(self, path: str) -> PathKind:
        from ppcli.filesystems.objects import find

        found = find(path)
        if found is None:
            return PathKind.MISSING
        return PathKind.FOLDER if found.state is None else PathKind.FILE

    def list_folder(self, path: str) -> Iterator[FolderEntry]:
        from ppcli.filesystems.objects import entries_of

        for name, state in entries_of(path):
            yield FolderEntry(name, PathKind.FOLDER if state is None else PathKind.FILE, state)

    def join(self, folder: str, name: str) -> str:
        return f"{folder}/{name}" if folder else name

    def file(self, path: str, kind: PathKind, state: FileState | None = None) -> InputFile:
        from ppcli.inputs.object_file import ObjectFile

        return ObjectFile(path, state)


class _WebPlace(_StorePlace):
    """Web servers, which have files and no folders."""

    def kind_of(self, path: str) -> PathKind:
        return PathKind.FILE

    def file(self, path: str, kind: PathKind, state: FileState | None = None) -> InputFile:
        from ppcli.inputs.http_file import HttpFile

        try:
            return HttpFile.of(path)
        except ValueError as error:
            return MissingFile(without_secrets(path), str(error))


class _MemoryPlace(_StorePlace):
    """Files that exist in this process only: their bytes travel with the handle."""

    def file(self, path: str, kind: PathKind, state: FileState | None = None) -> InputFile:
        from ppcli.inputs.object_file import ObjectFile

        file = ObjectFile(path, state)
        try:
            with file.open() as opened:
                return MemoryFile(file.name, opened.read(), opened.state.version)
        except ImageError as error:
            return MissingFile(file.name, error.message, error.code)


_LOCAL, _STORE, _WEB, _MEMORY = _LocalPlace(), _StorePlace(), _WebPlace(), _MemoryPlace()
_PLACES: dict[str, InputPlace] = {"http": _WEB, "https": _WEB, "memory": _MEMORY}


def is_far(path: str) -> bool:
    """Return whether a path is a URL of a file on another machine, and of no local file."""
    return is_url(path) and not exists(path)


def input_place(path: str) -> InputPlace:
    """Return the place of a path.

    Raises:
        UsageError: it is a URL that cannot be opened.
    """
    if not is_far(path):
        return _LOCAL
    known_scheme(path)
    return _PLACES.get(scheme_of(path), _STORE)


def kind_at(path: str) -> PathKind:
    """Return what is at a path or a URL.

    Raises:
        UsageError: it is a URL that cannot be opened.
        StoreError: the store does not tell.
    """
    return input_place(path).kind_of(path)


def kind_in_list(path: str) -> PathKind:
    """Return what a list names. No store is asked: there, a name that ends in `/` is a folder.

    A bucket is one too.

    Raises:
        UsageError: it is a URL that cannot be opened.
    """
    place = input_place(path)
    if not place.is_far:
        return place.kind_of(path)
    is_folder = path.endswith("/") or path.count("/") == _SLASHES_OF_BUCKETS
    return PathKind.FOLDER if is_folder and place is not _WEB else PathKind.FILE


def file_at(path: str, kind: PathKind, state: FileState | None = None) -> InputFile:
    """Return the handle of a file at a path or a URL."""
    try:
        return input_place(path).file(path, kind, state)
    except UsageError as error:
        return MissingFile(without_secrets(path), str(error))


def unlisted(path: str, error: ImageError) -> InputFile:
    """Return a handle for a folder that cannot be listed, so that it becomes an error row."""
    return MissingFile(without_secrets(path), error.message, ErrorCode(error.code))
