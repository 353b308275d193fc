"""Finds the images in zip and tar archives, lazily and in the order of the archive."""

from collections.abc import Callable, Iterator
from contextlib import closing

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import FileState, InputFile, OpenFile
from ppcli.inputs.containers.container_kinds import SEPARATOR, ContainerKind, is_hidden
from ppcli.inputs.containers.member_choice import Member, MemberChoice
from ppcli.inputs.containers.member_files import (
    HEAD_BYTES,
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
        for entry in _chosen_entries(archive, choice):
            name = container.name + SEPARATOR + entry.name
            file = TarMember(container, name, entry.offset, entry.size, listed)
            yield Member(entry.name, _unless_sparse(file, entry, listed))


def _stream_members(
    container: InputFile, kind: ContainerKind, choice: MemberChoice
) -> Iterator[Member]:
    with closing(ForwardStream(container, kind)) as stream:
        listed = stream.state
        for entry in _chosen_entries(stream, choice):
            file = StreamMember(container, kind, entry.name, entry.offset, entry.size, listed)
            yield Member(entry.name, _unless_sparse(file, entry, listed))
        stream.check_end()


def _unless_sparse(file: InputFile, entry: TarEntry, listed: FileState) -> InputFile:
    if not entry.is_sparse:
        return file
    refused = ImageError(
        ErrorCode.UNSUPPORTED_FORMAT,
        "the member is stored without its empty parts (sparse); pack it again without --sparse",
    )
    return FaultyFile(file.name, refused, listed)


def _chosen_entries(
    archive: "OpenFile | ForwardStream", choice: MemberChoice
) -> Iterator[TarEntry]:
    for entry in tar_entries(archive):
        if not _is_wanted(entry.name, choice):
            continue
        if entry.is_link or not (
            choice.everything
            or _is_image(entry.name, lambda entry=entry: _first_bytes(archive, entry))  # type: ignore[misc]
        ):
            choice.skip()
            continue
        yield entry


def _first_bytes(archive: "OpenFile | ForwardStream", entry: TarEntry) -> bytes:
    archive.seek(entry.offset)
    return archive.read(min(entry.size, HEAD_BYTES))


def _is_wanted(name: str, choice: MemberChoice) -> bool:
    return choice.everything or (not is_hidden(name) and choice.takes(name))


def _is_image(name: str, head: Callable[[], bytes]) -> bool:
    """Return whether a member counts as an image, as files in folders do."""
    return has_image_extension(name) or begins_like_an_image(head())
