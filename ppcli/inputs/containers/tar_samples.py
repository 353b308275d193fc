"""Samples of tar archives: an image, and the members beside it that become its columns.

In the WebDataset format a sample is a series of members with one key: the path up to the first dot
of the file name. What follows the dot is the name of the column.
"""

from collections.abc import Callable, Iterator

import pyarrow as pa

from ppcli.errors import ErrorCode, ImageError
from ppcli.files import InputFile
from ppcli.inputs.containers.container_kinds import ContainerKind, is_hidden
from ppcli.inputs.containers.member_choice import is_kept
from ppcli.inputs.containers.tar_headers import TarEntry, tar_entries
from ppcli.inputs.containers.tar_streams import ForwardStream
from ppcli.inputs.sniff import has_image_extension

_MOST_BYTES = 16 << 20
_MOST_MEMBERS = 1000  # of a sample; an archive whose names have no dots is one sample
_TEXT = frozenset({"txt", "text", "transcript", "caption", "json", "jsonl", "cls", "id", "index"})


class Sample:
    """The columns of one sample, and its images.

    Attributes:
        images: the members that are images, in order.
        columns: an Arrow scalar for each kept member that is no image.
        error: why a column could not be read; None if all could.
    """

    def __init__(self) -> None:
        self.images: list[TarEntry] = []
        self.columns: dict[str, pa.Scalar] = {}
        self.error: ImageError | None = None

    def add(self, name: str, entry: TarEntry, read: Callable[[TarEntry], bytes]) -> None:
        """Read a member that becomes a column."""
        if entry.size > _MOST_BYTES:
            said = f"its column {name} has {entry.size:,} bytes; at most {_MOST_BYTES:,} are kept"
            self.error = ImageError(ErrorCode.TOO_LARGE, said)
            return
        content = read(entry)
        kind = _type_of(name)
        value = content.decode("utf-8", "backslashreplace") if kind == pa.string() else content
        self.columns[name] = pa.scalar(value, kind)


def samples(
    entries: Iterator[TarEntry],
    kept: tuple[str, ...],
    is_image: Callable[[TarEntry], bool],
    read: Callable[[TarEntry], bytes],
) -> Iterator[Sample]:
    """Yield the samples of an archive, each once its last member was read.

    Args:
        entries: the members of the archive.
        kept: names of the columns that are kept.
        is_image: whether a member is an input.
        read: returns the bytes of the current member.

    Raises:
        ImageError: the archive cannot be read further, after the samples before.
    """
    sample, key = Sample(), None
    try:
        for entry in entries:
            of, name = _parts(entry.name)
            if of != key:
                yield sample
                sample, key = Sample(), of
            if _is_column(entry) and is_kept(name, kept):
                sample.add(name, entry, read)
            elif is_image(entry):
                sample.images.append(entry)
    except ImageError:
        yield sample
        raise
    yield sample


def sample_schema(container: InputFile, kind: ContainerKind) -> pa.Schema:
    """Return the columns that the first sample of an archive with an image has.

    Raises:
        ImageError: the archive cannot be read.
    """
    names: dict[str, None] = {}
    key, has_image = None, False
    with ForwardStream(container, kind) as archive:
        for number, entry in enumerate(tar_entries(archive)):
            of, name = _parts(entry.name)
            if of != key and (has_image or number > _MOST_MEMBERS):
                break
            if of != key:
                key, names = of, {}
            has_image = has_image or has_image_extension(entry.name)
            if _is_column(entry):
                names[name] = None
    return pa.schema([(name, _type_of(name)) for name in names])


def _parts(name: str) -> tuple[str, str]:
    """Return the key of a member's sample, and the name of its column."""
    folder, slash, file = name.rpartition("/")
    stem, _, extension = file.partition(".")
    return folder + slash + stem, extension.lower()


def _is_column(entry: TarEntry) -> bool:
    name = entry.name
    plain = not (entry.is_link or entry.is_sparse or is_hidden(name) or has_image_extension(name))
    return plain and bool(_parts(name)[1])


def _type_of(name: str) -> pa.DataType:
    return pa.string() if name.rpartition(".")[2] in _TEXT else pa.binary()
