"""Finds the images in zip and tar archives, lazily and in the order of the archive."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import FileState, InputFile, OpenFile
from ppcli.inputs.containers.container_kinds import SEPARATOR, ContainerKind, is_hidden
from ppcli.inputs.containers.member_choice import Member, MemberChoice
from ppcli.inputs.containers.member_files import (
    HEAD_BYTES,
    ContainerError,
    FaultyFile,
    begins_like_an_image,
    open_container,
)
from ppcli.inputs.containers.tar_headers import TarEntry, tar_entries
from ppcli.inputs.containers.tar_members import StreamMember, TarMember
from ppcli.inputs.containers.tar_streams import ForwardStream
from ppcli.inputs.containers.zip_directory import ZipEntry, zip_entries
from ppcli.inputs.containers.zip_members import ZipMember, first_bytes, refuse_unreadable
from ppcli.inputs.sniff import has_image_extension

if TYPE_CHECKING:  # which imports Arrow
    from ppcli.inputs.containers.tar_samples import Sample


def archive_members(
    container: InputFile, kind: ContainerKind, choice: MemberChoice
) -> Iterator[Member]:
    """Yield the members of an archive that are inputs.

    Raises:
        ImageError: the archive cannot be read, or not further.
    """
    if kind is ContainerKind.ZIP:
        return _zip_members(container, choice)
    if kind is ContainerKind.TAR:
        return _tar_members(container, choice)
    return _stream_members(container, kind, choice)


def _zip_members(container: InputFile, choice: MemberChoice) -> Iterator[Member]:
    with open_container(container) as archive, open_container(container) as contents:
        before: ZipEntry | None = None
        for entry in zip_entries(archive):
            name = entry.name
            overlaps = before is not None and _overlap(before, entry)
            before = entry
            if name.endswith("/") or not _is_wanted(name, choice):
                continue
            if not choice.everything and not _is_image(
                name,
                lambda entry=entry: first_bytes(contents, entry, HEAD_BYTES),  # type: ignore[misc]
            ):
                choice.skip()
                continue
            yield Member(name, _zip_member(container, entry, archive.state, overlaps))


def _zip_member(
    container: InputFile, entry: ZipEntry, listed: FileState, overlaps: bool
) -> InputFile:
    name = container.name + SEPARATOR + entry.name
    try:
        refuse_unreadable(entry)
        if overlaps:
            raise ImageError(
                ErrorCode.CORRUPT, "the member shares bytes of the archive with another one"
            )
    except ImageError as error:
        return FaultyFile(name, error, listed)
    return ZipMember(container, name, entry, listed)


def _overlap(before: ZipEntry, entry: ZipEntry) -> bool:
    return before.offset <= entry.offset < before.offset + before.compressed


def _tar_members(container: InputFile, choice: MemberChoice) -> Iterator[Member]:
    with open_container(container) as archive:
        listed = archive.state
        for entry, sample in _chosen_entries(archive, choice):
            name = container.name + SEPARATOR + entry.name
            file = TarMember(container, name, entry.offset, entry.size, listed)
            yield _tar_member(file, entry, sample, listed)


def _stream_members(
    container: InputFile, kind: ContainerKind, choice: MemberChoice
) -> Iterator[Member]:
    with closing(ForwardStream(container, kind)) as stream:
        listed = stream.state
        for entry, sample in _chosen_entries(stream, choice):
            file = StreamMember(container, kind, entry.name, entry.offset, entry.size, listed)
            yield _tar_member(file, entry, sample, listed)
        stream.check_end()


def _tar_member(
    file: InputFile, entry: TarEntry, sample: "Sample | None", listed: FileState
) -> Member:
    error = None if sample is None else sample.error
    if entry.is_sparse:
        error = ImageError(
            ErrorCode.UNSUPPORTED_FORMAT,
            "the member is stored without its empty parts (sparse); pack it again without --sparse",
        )
    readable = file if error is None else FaultyFile(file.name, error, listed)
    return Member(entry.name, readable, None if sample is None else sample.columns)


def _chosen_entries(
    archive: "OpenFile | ForwardStream", choice: MemberChoice
) -> "Iterator[tuple[TarEntry, Sample | None]]":
    """Yield the members that are inputs, with the columns of their samples if any are kept."""

    def is_input(entry: TarEntry) -> bool:
        if not _is_wanted(entry.name, choice):
            return False
        is_image = not entry.is_link and (
            choice.everything or _is_image(entry.name, lambda: _first_bytes(archive, entry))
        )
        if not is_image:
            choice.skip()
        return is_image

    entries = tar_entries(archive)
    if not choice.kept:
        yield from ((entry, None) for entry in entries if is_input(entry))
        return
    from ppcli.inputs.containers.tar_samples import samples

    for sample in samples(entries, choice.kept, is_input, partial(_content, archive)):
        yield from ((entry, sample) for entry in sample.images)


def _content(archive: "OpenFile | ForwardStream", entry: TarEntry) -> bytes:
    """Return the bytes of a member, which is the current one of the archive."""
    archive.seek(entry.offset)
    content = archive.read(entry.size)
    if len(content) < entry.size:
        raise ContainerError(ErrorCode.TRUNCATED, "the archive is cut off in a member")
    return content


def _first_bytes(archive: "OpenFile | ForwardStream", entry: TarEntry) -> bytes:
    archive.seek(entry.offset)
    return archive.read(min(entry.size, HEAD_BYTES))


def _is_wanted(name: str, choice: MemberChoice) -> bool:
    return choice.everything or (not is_hidden(name) and choice.takes(name))


def _is_image(name: str, head: Callable[[], bytes]) -> bool:
    """Return whether a member counts as an image, as files in folders do."""
    return has_image_extension(name) or begins_like_an_image(head(), name)
