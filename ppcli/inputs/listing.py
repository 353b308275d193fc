"""From what the user named to a stream of files, in a fixed order and without holding them all."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import islice
from typing import BinaryIO

from ppcli.errors import UsageError
from ppcli.inputs.globs import is_pattern, matches
from ppcli.inputs.marks import is_drawn, is_folder_of_drawn
from ppcli.inputs.names import names_in, path_of
from ppcli.inputs.piped import begin_of, image_from, is_image
from ppcli.inputs.refs import ImageRef, identity
from ppcli.inputs.sniff import has_image_extension, has_image_signature
from ppcli.inputs.unique import UniqueNames
from ppcli.inputs.walk import EVERYTHING, Entry, Search, walk

STDIN = "-"


@dataclass(slots=True)
class Listing:
    """The inputs of one run; iterating gives an `ImageRef` for each file, lazily.

    Attributes:
        inputs: files, folders, globs, or `-` for standard input: paths, one a line, or one image.
        files0_from: a file of NUL-separated paths, `-` for standard input.
        include: patterns of names; when given, only matching files of folders are taken.
        exclude: patterns of names of files and folders that are passed over in folders.
        limit: stop after so many files.
        stdin: where `-` reads from.
        avoid: a folder that no walk enters: the output of the run.
        skipped: files of walked folders, counted so far, that are no images by content or name.
        repeated: the first name that came before, as it was changed; empty when there is none.

    A pattern without `/` is matched with the name, another with the path below the folder. What
    `**` matches is taken as what is in a folder. An `image_id` that came before gets `~2` and so
    on behind it.
    """

    inputs: tuple[str, ...]
    files0_from: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    limit: int | None = None
    stdin: BinaryIO | None = None
    avoid: str | None = None
    skipped: int = field(default=0, init=False)
    repeated: str = field(default="", init=False)

    @property
    def is_one_file(self) -> bool:
        """Whether a single file is named, and nothing else."""
        one = len(self.inputs) == 1 and self.files0_from is None
        return one and os.path.isfile(path_of(self.inputs[0]))

    def check(self) -> None:
        """Refuse what cannot be meant, before anything runs.

        Raises:
            UsageError: for no inputs at all, a missing path, a glob without matches, a URL of
                another machine, or standard input named twice.
        """
        if not self.inputs and self.files0_from is None:
            raise UsageError("no inputs: name files, folders, globs, or - for a list")
        if [*self.inputs, self.files0_from].count(STDIN) > 1:
            raise UsageError("standard input can be read only once, and - is given twice")
        for given in self.inputs:
            path = path_of(given)
            if path == STDIN:
                continue
            if is_pattern(path):
                if next(matches(path), None) is None:
                    raise UsageError(f"{given}: nothing matches this pattern")
            elif not os.path.lexists(path):
                raise UsageError(f"{given}: no such file or folder")
        if self.files0_from not in (None, STDIN):
            if not os.path.exists(self.files0_from):
                raise UsageError(f"{self.files0_from}: no such list of files")
            if os.path.isdir(self.files0_from):
                raise UsageError(f"{self.files0_from} is a folder, not a list of files")
            if has_image_signature(self.files0_from):
                raise UsageError(f"{self.files0_from} is an image, not a list of files")

    @property
    def repeatable(self) -> bool:
        """Whether iterating again gives the files again: not when a pipe is read."""
        if STDIN in (*self.inputs, self.files0_from):
            return False
        return self.files0_from is None or os.path.isfile(self.files0_from)

    @property
    def named_files(self) -> list[ImageRef] | None:
        """The inputs where each is named by itself; None where they are to be looked for."""
        paths = [path_of(given) for given in self.inputs]
        if self.files0_from is not None or any(
            path == STDIN or is_pattern(path) or os.path.isdir(path) for path in paths
        ):
            return None
        return [ImageRef(path, identity(path)) for path in paths[: self.limit]]

    def __iter__(self) -> Iterator[ImageRef]:
        """The inputs.

        Raises:
            UsageError: when a list of paths cannot be read.
        """
        self.skipped, self.repeated = 0, ""
        return islice(self._named_once(), self.limit)

    def _named_once(self) -> Iterator[ImageRef]:
        if len(self.inputs) == 1 and STDIN not in self.inputs and self.files0_from is None:
            yield from self._all()  # no folder and no pattern names a file twice
            return
        unique = UniqueNames()
        for ref in self._all():
            image_id = unique(ref.image_id)
            self.repeated = unique.first
            yield ref if image_id == ref.image_id else replace(ref, image_id=image_id)

    def _all(self) -> Iterator[ImageRef]:
        if len(self.inputs) == 1 and self.files0_from is None:
            only = path_of(self.inputs[0])
            if os.path.isdir(only):
                yield from self._walk(only, prefix="")
                return
        for given in self.inputs:
            if given == STDIN:
                yield from self._piped(b"\n")
            else:
                yield from self._given(path_of(given))
        if self.files0_from == STDIN:
            yield from self._piped(b"\0")
        elif self.files0_from is not None:
            with _open_list(self.files0_from) as file:
                yield from self._listed(file, b"\0")

    def _piped(self, separator: bytes) -> Iterator[ImageRef]:
        """What standard input names, or is."""
        if self.stdin is None:
            raise UsageError("standard input is not available, and - names it")
        begin = begin_of(self.stdin)
        if not is_image(begin):
            yield from self._listed(self.stdin, separator, begin)
        elif separator == b"\0":
            raise UsageError("standard input is an image and no list; name it - instead")
        else:
            yield image_from(self.stdin, begin, STDIN)

    def _listed(self, file: BinaryIO, separator: bytes, begin: bytes = b"") -> Iterator[ImageRef]:
        for name in names_in(file, separator, begin):
            try:
                path = path_of(name)
            except UsageError:  # its row tells that it is not there
                path = name
            yield from self._named(path)

    def _given(self, path: str) -> Iterator[ImageRef]:
        """A path or a pattern."""
        if not is_pattern(path):
            yield from self._named(path)
            return
        for match, search in matches(path):
            if self._to_avoid(match):
                continue
            if search is None:
                yield from self._named(match)
            else:
                yield from self._walk(match, match, search)

    def _named(self, path: str) -> Iterator[ImageRef]:
        if os.path.isdir(path):
            yield from self._walk(path, prefix=path)
        else:
            yield ImageRef(path, identity(path))

    def _walk(self, folder: str, prefix: str, search: Search = EVERYTHING) -> Iterator[ImageRef]:
        """The images below a folder that a search takes."""
        drawn_too = is_folder_of_drawn(folder)
        for entry in walk(folder, search, self._enters):
            if not entry.readable:
                name = os.path.join(prefix, entry.below) or entry.path
                yield ImageRef(entry.path, identity(name))
            elif entry.search is None and self._takes(entry, drawn_too):
                yield ImageRef(entry.path, identity(os.path.join(prefix, entry.below)))

    def _enters(self, entry: Entry) -> bool:
        return not self._excluded(entry.below) and not self._to_avoid(entry.path)

    def _takes(self, entry: Entry, drawn_too: bool) -> bool:
        """Whether a file of a folder is taken; counted where it is no image, but drawn of one."""
        if self._excluded(entry.below):
            return False
        if self.include and not _matches(entry.below, self.include):
            return False
        is_image = has_image_extension(entry.path) or has_image_signature(entry.path)
        is_image = is_image and (drawn_too or not is_drawn(entry.path))
        self.skipped += not is_image
        return is_image

    def _to_avoid(self, folder: str) -> bool:
        try:
            return self.avoid is not None and os.path.samefile(folder, self.avoid)
        except OSError:  # it is not there yet
            return False

    def _excluded(self, below: str) -> bool:
        return bool(self.exclude) and _matches(below, self.exclude)


def _matches(below: str, patterns: tuple[str, ...]) -> bool:
    """Whether a pattern matches a path below a folder, also with its brackets as they stand."""
    path = below.replace(os.sep, "/")
    name = os.path.basename(path)
    return any(
        fnmatchcase(path if "/" in one else name, pattern)
        for one in patterns
        for pattern in (one, one.replace("[", "[[]"))
    )


def _open_list(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise UsageError(f"{path}: the list of paths cannot be read: {error.strerror}") from error
