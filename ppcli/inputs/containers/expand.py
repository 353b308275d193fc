"""Turns a container into its images, and a name like `a.zip::x.png` into one of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, NamedTuple

import xxhash

from ppcli.errors import ErrorCode, ImageError, UsageError
from ppcli.files import FileState, InputFile, MemoryFile, OpenFile, PathKind
from ppcli.inputs.containers.archives import archive_members
from ppcli.inputs.containers.container_kinds import (
    SEPARATOR,
    ContainerKind,
    container_kind,
    member_splits,
)
from ppcli.inputs.containers.member_choice import Member, MemberChoice
from ppcli.inputs.containers.member_files import FaultyFile, NoImagesError, member_state
from ppcli.inputs.containers.parquet_rows import check_image_column, parquet_rows, row_named
from ppcli.inputs.http_file import HttpFile
from ppcli.inputs.input_places import file_at, is_far, kind_at
from ppcli.inputs.object_file import ObjectFile
from ppcli.inputs.refs import ImageRef, identity, looks_escaped
from ppcli.inputs.sniff import has_video_extension
from ppcli.inputs.unique import UniqueNames
from ppcli.inputs.videos import require_pyav

_MOST_INDEXED = 50_000  # members of one archive, about 25 MB


def expand(container: ImageRef, kind: ContainerKind, choice: MemberChoice) -> Iterator[ImageRef]:
    """Yield the images of a container; its damage becomes an input that fails, at the end.

    Args:
        container: the file, and the identity that those of its images begin with.
        kind: of the container.
        choice: which members are inputs.
    """
    unique = UniqueNames()
    file = container.file
    if isinstance(file, HttpFile):  # which is read whole
        file = ObjectFile(file.url)
    try:
        for member in _members(file, kind, choice):
            name = container.image_id + SEPARATOR + unique(identity(member.name))
            yield ImageRef(_here(member.file, file), name, columns=member.columns)
    except NoImagesError as error:
        if choice.in_folder:
            choice.skip()
        else:
            yield ImageRef(FaultyFile(file.name, error, file.state()), container.image_id)
    except ImageError as error:
        choice.lacks(f"{file.name} cannot be read to its end")
        yield ImageRef(FaultyFile(file.name, error, file.state()), container.image_id)


def _members(container: InputFile, kind: ContainerKind, choice: MemberChoice) -> Iterator[Member]:
    if kind is ContainerKind.PARQUET:
        return parquet_rows(container, choice)
    return archive_members(container, kind, choice)


def _here(member: InputFile, container: InputFile) -> InputFile:
    """Return a member with its bytes if its container exists in this process only."""
    if not isinstance(container, MemoryFile):
        return member
    try:
        with member.open() as opened:
            return MemoryFile(member.name, opened.read(), opened.state.version)
    except ImageError as error:
        return FaultyFile(member.name, error, container.state())


def split_member(path: str, kind: PathKind | None = None) -> tuple[str, str] | None:
    """Return the container and the member that a path or URL like `a.zip::x.png` names.

    It is None if there is a file with this whole name, or none with the name of the container.

    Args:
        path: the path.
        kind: what is there; FILE for a URL of which nobody asked. None to look.
    """
    splits = member_splits(path) if SEPARATOR in path else []
    if not splits:
        return None
    if is_far(path) and kind is PathKind.FILE:
        return splits[0]
    if (kind or kind_at(path)) is not PathKind.MISSING:
        return None
    return next((one for one in splits if kind_at(one[0]) is PathKind.FILE), None)


@dataclass(frozen=True, slots=True)
class NamedMember:
    """A member that was named, and is found when it is opened.

    Attributes:
        container: handle of the container.
        member: its name, as stored or as in its `image_id`.
        image_column: the column of Parquet files that has the images; None to find it.
    """

    container: InputFile
    member: str
    image_column: str | None = None
    local_path: None = field(default=None, init=False)
    is_far: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The path of the container and the name of the member."""
        return self.container.name + SEPARATOR + self.member

    def open(self) -> OpenFile:
        """Find the member and open its bytes.

        Raises:
            ImageError: there is none, or it cannot be read.
        """
        found = self.find()
        opened = found.open()
        opened.state = self.state() or opened.state
        return opened

    def find(self) -> InputFile:
        """Return the handle of the member.

        Raises:
            ImageError: there is none, or the container cannot be read.
        """
        state = self.container.state()
        kind = container_kind(self.container.name)
        if kind is ContainerKind.PARQUET:
            return row_named(self.container, self.member, self.image_column)
        index = None if state is None else _index(self.container, state)  # type: ignore[arg-type]
        found = None
        if index is not None:
            found = index.files.get(self.member)
            if found is None and index.fault is not None:
                raise index.fault
        else:
            for name, member in _named(self.container):
                if self.member in (name, member.name):
                    found = member.file
                    break
        if found is None:
            raise ImageError(ErrorCode.NOT_FOUND, "its container has no member of this name")
        return found

    def state(self) -> FileState | None:
        """Return a state that changes with the container."""
        state = self.container.state()
        if state is None:
            return None
        raw = self.member.encode("utf-8", "surrogatepass")
        return member_state(state, xxhash.xxh3_64_intdigest(raw))


def _named(container: InputFile) -> Iterator[tuple[str, Member]]:
    """Yield all members with the names that they have in an `image_id`."""
    kind = container_kind(container.name)
    assert kind is not None
    unique = UniqueNames()
    for member in archive_members(container, kind, MemberChoice(everything=True)):
        yield unique(identity(member.name)), member


class _Index(NamedTuple):
    """The members of a container.

    Attributes:
        files: by their names.
        fault: why there may be more; None if these are all.
    """

    files: dict[str, InputFile]
    fault: ImageError | None


@lru_cache(maxsize=1)
def _index(container: InputFile, state: FileState) -> _Index | None:
    """Return the members of a container; None if there are very many."""
    files: dict[str, InputFile] = {}
    try:
        for name, member in _named(container):
            files[name] = member.file
            files.setdefault(member.name, member.file)
            if len(files) > _MOST_INDEXED:
                return None
    except ImageError as error:
        if not files:
            raise
        return _Index(files, error)
    return _Index(files, None)


def named_member(
    path: str, kind: PathKind | None = None, image_column: str | None = None
) -> ImageRef | None:
    """Return the reference to a member that a path like `a.zip::x.png` names.

    It is None if the path names no member. For the arguments see `split_member` and `member_in`.
    """
    split = split_member(path, kind)
    if split is None:
        return None
    container, member = split
    file = file_at(container, PathKind.FILE)
    return member_in(file, file.name, member, image_column)


def member_in(
    container: InputFile, shown: str, member: str, image_column: str | None = None
) -> ImageRef:
    """Return the reference to a member.

    Args:
        container: handle of its container.
        shown: the container, as its name was given.
        member: its name, as stored or as in its `image_id`.
        image_column: the column of Parquet files that has the images; None to find it.
    """
    name = member if looks_escaped(member) else identity(member)
    file = NamedMember(container, member, image_column)
    return ImageRef(file, identity(shown) + SEPARATOR + name)


def is_row(ref: ImageRef) -> bool:
    """Return whether a member that was named is a row of a Parquet file."""
    if not isinstance(ref.file, NamedMember):
        return False
    return container_kind(ref.file.container.name) is ContainerKind.PARQUET


def check_file(file: InputFile, image_column: str | None) -> None:
    """Check a file that is named on the command line; a damaged one becomes an error row.

    Raises:
        UsageError: a Parquet file has no column with images, several, or not the wanted one.
        MissingDependencyError: it is a video, and what reads those is not installed.
    """
    if has_video_extension(file.name):
        require_pyav()
    if container_kind(file.name) is not ContainerKind.PARQUET:
        return
    try:
        check_image_column(file, image_column)
    except NoImagesError as error:
        raise UsageError(f"{file.name}: {error.message}") from None
    except ImageError:
        return


def check_member(path: str, image_column: str | None = None) -> bool:
    """Check a path on the command line that may name a member; return whether it does.

    Raises:
        UsageError: the container has no such member, or cannot be read.
    """
    ref = named_member(path, image_column=image_column)
    if ref is None:
        return False
    assert isinstance(ref.file, NamedMember)
    try:
        ref.file.find()
    except ImageError as error:
        raise UsageError(f"{path}: {error.message}") from None
    return True
