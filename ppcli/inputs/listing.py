"""Finds the image files in paths, folders, patterns and lists: lazily, in a fixed order."""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from ppcli.errors import UsageError
from ppcli.files import FileState, MissingFile, PathKind
from ppcli.filesystems.schemes import without_secrets
from ppcli.inputs.containers.container_kinds import ContainerKind, container_kind
from ppcli.inputs.containers.expand import (
    check_file,
    check_member,
    expand,
    is_row,
    named_member,
)
from ppcli.inputs.containers.member_choice import MemberChoice
from ppcli.inputs.folder_files import (
    Head,
    has_image,
    is_folder_for_pictures,
    may_be_drawn,
    with_heads,
)
from ppcli.inputs.globs import is_pattern, matches
from ppcli.inputs.input_places import file_at, input_place, is_far, kind_at, kind_in_list, unlisted
from ppcli.inputs.list_files import check_list, open_list
from ppcli.inputs.names import names_in, path_of
from ppcli.inputs.piped import image_from, is_image, read_start
from ppcli.inputs.refs import ImageRef, identity
from ppcli.inputs.shared_answers import SharedAnswers
from ppcli.inputs.sniff import has_image_extension
from ppcli.inputs.unique import UniqueNames
from ppcli.inputs.walk import EVERYTHING, Entry, Search, walk

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger("pixelprune")

STDIN = "-"


class UncountableError(OSError):
    """Counting the inputs would take as long as reading them."""


@dataclass(slots=True)
class Listing:
    """The inputs of one run. Iterating yields an `ImageRef` for each file.

    A pattern in `include` or `exclude` without `/` is matched against the name, one with `/`
    against the path below the folder. Files that `**` matches are treated like the content of a
    folder. A repeated `image_id` gets the suffix `~2`, `~3` and so on.

    Attributes:
        inputs: files, folders, glob patterns, or `-` for standard input, which has one path per
            line, or one image.
        files0_from: a file of NUL-separated paths; `-` for standard input.
        include: in folders, take only files that match; empty for all.
        exclude: in folders, skip files and subfolders that match.
        limit: stop after this many files.
        stdin: what `-` reads.
        avoid: a folder that is not entered: the output of the run.
        image_column: the column of Parquet files that has the images; None to find it.
        keep_columns: columns of data sets that are read with the images.
        skipped: number of files in folders that were skipped because they are not images.
        repeated: the first `image_id` with a suffix; empty if none needed one.
        incomplete: why files may be missing that still exist; empty if all are there.
    """

    inputs: tuple[str, ...]
    files0_from: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    limit: int | None = None
    stdin: BinaryIO | None = None
    avoid: str | None = None
    image_column: str | None = None
    keep_columns: tuple[str, ...] = ()
    skipped: int = field(default=0, init=False)
    repeated: str = field(default="", init=False)
    incomplete: str = field(default="", init=False)
    _kinds: dict[str, PathKind] = field(default_factory=dict, init=False, repr=False)
    _answers: SharedAnswers | None = field(default=None, init=False, repr=False)
    _is_for_counting: bool = field(default=False, init=False, repr=False)
    _has_rows: bool = field(default=False, init=False, repr=False)
    _is_unread: bool = field(default=False, init=False, repr=False)  # containers are not opened

    @property
    def is_one_file(self) -> bool:
        """Whether the only input is a single file, named by its path."""
        if len(self.inputs) != 1 or self.files0_from is not None:
            return False
        path = path_of(self.inputs[0])
        is_file = self._kind_of_input(path) is PathKind.FILE
        return (is_file and container_kind(path) is None) or named_member(path) is not None

    def check(self) -> None:
        """Refuse unusable inputs before anything runs.

        Raises:
            UsageError: an input is unusable, as a path that does not exist.
            MissingDependencyError: a video is named, and what reads it is not installed.
        """
        if not self.inputs and self.files0_from is None:
            raise UsageError(
                "no inputs; name files, folders, glob patterns, or - for standard input"
            )
        if [*self.inputs, self.files0_from].count(STDIN) > 1:
            raise UsageError("- is given twice, but standard input can be read only once")
        for given in self.inputs:
            path = path_of(given)
            if path == STDIN or check_member(path, self.image_column):
                continue
            if is_pattern(path):
                if next(matches(path), None) is None:
                    raise UsageError(f"{_shown(given)}: no file matches this pattern")
            elif (kind := self._kind_of_input(path)) is PathKind.MISSING:
                raise UsageError(f"{_shown(given)}: no such file or folder")
            elif kind is PathKind.FILE:
                check_file(file_at(path, kind), self.image_column)
        if self.files0_from not in (None, STDIN):
            check_list(self.files0_from)

    @property
    def repeatable(self) -> bool:
        """Whether iterating again yields the files again; a pipe can be read only once."""
        if STDIN in (*self.inputs, self.files0_from):
            return False
        return self.files0_from is None or kind_at(self.files0_from) is PathKind.FILE

    @property
    def named_files(self) -> list[ImageRef] | None:
        """The inputs if each is a file named by its path; None if any must be searched for."""
        paths = [path_of(given) for given in self.inputs]
        if self.files0_from is not None or any(
            path == STDIN
            or is_pattern(path)
            or self._kind_of_input(path) is PathKind.FOLDER
            or container_kind(path) is not None
            or named_member(path) is not None
            for path in paths
        ):
            return None
        return [_file_ref(path, self._kind_of_input(path)) for path in paths[: self.limit]]

    def kept_schema(self) -> "pa.Schema | None":
        """Return the columns that are kept, before the inputs are read; None if none are.

        Raises:
            UsageError: no input has one of them, or two have it in different types.
        """
        if not self.keep_columns:
            return None
        from ppcli.inputs.containers.data_set_schema import kept_schema

        unread = replace(self, keep_columns=(), limit=None)
        unread._kinds, unread._is_unread = self._kinds, True
        kinds = ((ref.file, container_kind(ref.file.name)) for ref in unread)
        files = (file for file, kind in kinds if kind not in (None, ContainerKind.ZIP))
        return kept_schema(files, self.keep_columns)

    def __copy__(self) -> "Listing":
        """Return a copy to count in another thread; only one of the two looks into a file."""
        twin = replace(self)
        twin._is_for_counting = True
        twin._kinds = self._kinds
        twin._answers = self._answers = SharedAnswers()
        return twin

    def __iter__(self) -> Iterator[ImageRef]:
        """Yield the inputs.

        Raises:
            UsageError: a list of paths cannot be read.
        """
        self.skipped, self.repeated = 0, ""
        self.incomplete = "" if self.limit is None else "--limit leaves inputs out"
        return islice(self._with_unique_ids(), self.limit)

    def _with_unique_ids(self) -> Iterator[ImageRef]:
        if self._is_one_path:
            yield from self._all()  # a single folder or pattern yields each file once
            return
        unique = UniqueNames()
        for ref in self._all():
            image_id = unique(ref.image_id)
            self.repeated = unique.first
            yield ref if image_id == ref.image_id else replace(ref, image_id=image_id)

    @property
    def _is_one_path(self) -> bool:
        return len(self.inputs) == 1 and STDIN not in self.inputs and self.files0_from is None

    def _all(self) -> Iterator[ImageRef]:
        for given in self.inputs:
            found = self._piped(b"\n") if given == STDIN else self._given(path_of(given))
            yield from self._not_empty(found, given)
        if self.files0_from == STDIN:
            yield from self._not_empty(self._piped(b"\0"), STDIN)
        elif self.files0_from is not None:
            with open_list(self.files0_from) as file:
                yield from self._not_empty(self._listed(file, b"\0"), self.files0_from)
        if self.image_column is not None and not self._has_rows and not self._is_for_counting:
            logger.warning("--image-column has no effect: no input is a Parquet file")

    def _not_empty(self, found: Iterator[ImageRef], given: str) -> Iterator[ImageRef]:
        """Yield what was found; note if nothing was, as in a folder whose disk is not there."""
        first = next(found, None)
        if first is None:
            self._lacks(f"{_shown(given)} has no image")
            return
        yield first
        yield from found

    def _lacks(self, reason: str) -> None:
        self.incomplete = self.incomplete or reason

    def _piped(self, separator: bytes) -> Iterator[ImageRef]:
        """Yield the image on standard input, or the files that it lists."""
        if self.stdin is None:
            raise UsageError("- is standard input, which is not available")
        start = read_start(self.stdin)
        if not is_image(start):
            yield from self._listed(self.stdin, separator, start)
        elif separator == b"\0":
            raise UsageError(
                "standard input is an image, not a list of files; give - as the input instead"
            )
        else:
            yield image_from(self.stdin, start, STDIN)

    def _listed(self, file: BinaryIO, separator: bytes, start: bytes = b"") -> Iterator[ImageRef]:
        for name in names_in(file, separator, start):
            try:
                path = path_of(name)
                kind = kind_in_list(path)
            except UsageError as error:
                shown = without_secrets(name)
                yield ImageRef(MissingFile(shown, str(error)), identity(shown))
            else:
                yield from self._named(path, kind)

    def _given(self, path: str) -> Iterator[ImageRef]:
        """Yield the files of a path or pattern on the command line."""
        if not is_pattern(path) or named_member(path) is not None:
            prefix = "" if self._is_one_path else path
            yield from self._named(path, self._kind_of_input(path), prefix)
            return
        for match, search in matches(path):
            if self._is_avoided(match):
                continue
            if search is None:
                yield from self._named(match, kind_at(match))
            else:
                yield from self._walk(match, match, search)

    def _kind_of_input(self, path: str) -> PathKind:
        """Return the kind of a path on the command line, looked up once."""
        if path not in self._kinds:
            self._kinds[path] = kind_at(path)
        return self._kinds[path]

    def _named(self, path: str, kind: PathKind, prefix: str | None = None) -> Iterator[ImageRef]:
        if kind is PathKind.FOLDER:
            yield from self._walk(path, path if prefix is None else prefix)
        elif (member := named_member(path, kind, self.image_column)) is not None:
            self._has_rows = self._has_rows or is_row(member)
            yield member
        else:
            if kind is PathKind.MISSING and not has_image_extension(path):
                self._lacks(f"{_shown(path)} does not exist")  # it may have been a folder
            yield from self._images_in(_file_ref(path, kind), kind)

    def _images_in(
        self, ref: ImageRef, kind: PathKind, below: str | None = None
    ) -> Iterator[ImageRef]:
        """Yield a file, or the images in it if it is a container.

        Args:
            ref: the file.
            kind: what it is.
            below: its path below the folder in which it was found; None if it was named.
        """
        container = container_kind(ref.file.name) if kind is PathKind.FILE else None
        self._has_rows = self._has_rows or container is ContainerKind.PARQUET
        if container is None or self._is_unread:
            yield ref
        elif self._is_for_counting and (container.is_compressed_tar or ref.file.is_far):
            raise UncountableError
        else:
            is_included = below is not None and bool(self.include) and self._chooses(below)
            choice = MemberChoice(
                (lambda name: not self._excluded(name)) if is_included else self._chooses,
                self._skip,
                self._lacks,
                in_folder=below is not None,
                image_column=self.image_column,
                kept=self.keep_columns,
            )
            yield from expand(ref, container, choice)

    def _walk(self, folder: str, prefix: str, search: Search = EVERYTHING) -> Iterator[ImageRef]:
        """Yield the images below a folder that match a search."""
        place = input_place(folder)
        folder = folder.rstrip("/") if place.is_far else folder
        prefix = without_secrets(prefix.rstrip("/")) if place.is_far else prefix
        with_drawn = is_folder_for_pictures(place, folder)
        found = walk(folder, search, self._enters)
        ahead = place.is_far and not self._is_for_counting
        each = with_heads(found, self._chooses) if ahead else ((one, None) for one in found)
        for entry, head in each:
            name = place.join(prefix, entry.below)
            if entry.fault is not None:
                file = unlisted(entry.path, entry.fault)
                self._lacks(f"{file.name} cannot be listed")
                yield ImageRef(file, identity(name or file.name))
            elif entry.kind is PathKind.MISSING:
                self._lacks(f"{entry.path} cannot be listed")
                yield _file_ref(entry.path, entry.kind, name or entry.path)
            elif entry.search is None and self._takes(entry, with_drawn, head):
                ref = _file_ref(entry.path, entry.kind, name, entry.state)
                yield from self._images_in(ref, entry.kind, entry.below)

    def _enters(self, entry: Entry) -> bool:
        return not self._excluded(entry.below) and not self._is_avoided(entry.path)

    def _takes(self, entry: Entry, with_drawn: bool, head: Head | None) -> bool:
        """Return whether a file in a folder is an input; count those that are not images."""
        if (kind := container_kind(entry.path)) is not None and entry.kind is PathKind.FILE:
            return not self._excluded(entry.below) and (
                kind.is_archive or self._chooses(entry.below)
            )
        if not self._chooses(entry.below):
            return False
        unless_drawn = not with_drawn and (entry.is_marked or may_be_drawn(entry))
        is_input = self._is_input(entry, unless_drawn, head)
        self.skipped += not is_input
        return is_input

    def _chooses(self, below: str) -> bool:
        """Return whether the patterns choose a path below a folder, or below an archive."""
        if self._excluded(below):
            return False
        return not self.include or _matches(below, self.include)

    def _skip(self) -> None:
        self.skipped += 1

    def _is_input(self, entry: Entry, unless_drawn: bool, head: Head | None) -> bool:
        named = has_image_extension(entry.path)
        if entry.kind is not PathKind.FILE or (named and not unless_drawn):
            return named
        if self._is_for_counting and entry.state is not None:
            raise UncountableError
        if self._answers is None:
            return has_image(entry, unless_drawn, head)
        return self._answers.get(entry.path, lambda: has_image(entry, unless_drawn, head))

    def _is_avoided(self, folder: str) -> bool:
        if self.avoid is None:
            return False
        if is_far(folder):
            return folder.rstrip("/") == self.avoid.rstrip("/")
        try:
            return os.path.samefile(folder, self.avoid)
        except OSError:  # it does not exist yet
            return False

    def _excluded(self, below: str) -> bool:
        return bool(self.exclude) and _matches(below, self.exclude)


def _shown(given: str) -> str:
    """Return an input as it was given, without secrets of a URL."""
    return without_secrets(given) if input_place(path_of(given)).is_far else given


def _file_ref(
    path: str, kind: PathKind, name: str | None = None, state: FileState | None = None
) -> ImageRef:
    file = file_at(path, kind, state)
    return ImageRef(file, identity(file.name if name is None else name))


def _matches(below: str, patterns: tuple[str, ...]) -> bool:
    """Return whether a pattern matches a path below a folder; brackets also match literally."""
    path = below.replace(os.sep, "/")
    name = os.path.basename(path)
    return any(
        fnmatchcase(path if "/" in one else name, pattern)
        for one in patterns
        for pattern in (one, one.replace("[", "[[]"))
    )
