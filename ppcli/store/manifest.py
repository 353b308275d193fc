"""The manifest of a dataset folder: its configuration and its shards."""

import json
from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ppcli.errors import DamagedError
from ppcli.store.atomic import whole_file
from ppcli.store.formats import Config
from ppcli.store.manifest_text import Entry, ManifestText
from ppcli.store.metadata_checks import InvalidContentError, parse_config, parse_count, parse_text
from ppcli.store.places.place import JOURNAL, Place, place_of
from ppcli.store.rows import PATCHES, STATS
from ppcli.store.shards import Shard, StagedShard, parse_token
from ppcli.version import __version__

MANIFEST = "manifest.json"
DATASET_KIND = "pixelprune dataset"
_MAX_VERSION_LENGTH = 100
_LINES = 1000  # of a journal that is merged into the manifest, at least


@dataclass(frozen=True, slots=True)
class Recorded:
    """A change of a dataset: the shard of a number.

    Attributes:
        number: of the shard, which is new or replaces an earlier one.
        shard: its record.
        token: of the staged files that become its files; empty if they were never staged.
    """

    number: int
    shard: Shard
    token: str = ""

    @property
    def content(self) -> dict[str, Any]:
        """The change as JSON values."""
        content = {"number": self.number, "shard": self.shard.content}
        return content | {"token": self.token} if self.token else content


Change = Recorded | StagedShard


@dataclass(slots=True)
class Manifest:
    """The content of a dataset folder.

    Attributes:
        config: options that the rows depend on.
        shards: shards in order; the index is the number in the file names.
        finished: all inputs were processed.
        version: version of pixelprune that wrote it.
        staged: shards that wait for those of the inputs before them, in the order of their inputs.
        renamed: tokens by number of shard. Staged files with these names, which only a killed run
            leaves, are those of the shard.
    """

    config: Config
    shards: list[Shard] = field(default_factory=list)
    finished: bool = False
    version: str = __version__
    staged: list[StagedShard] = field(default_factory=list)
    renamed: dict[int, str] = field(default_factory=dict, compare=False)

    @property
    def has_patches(self) -> bool:
        """Whether the dataset has patch sets."""
        return bool(self.config.get("patches"))

    @property
    def main_kind(self) -> str:
        """Kind of the rows that every input has: `stats`, `answers`, `scores` or `sweep`."""
        return main_kind(self.config)

    @property
    def kinds(self) -> list[str]:
        """Kinds of files of each shard, in the order in which they are put in place."""
        return [PATCHES, self.main_kind] if self.has_patches else [self.main_kind]

    @property
    def content(self) -> dict[str, Any]:
        """The manifest as JSON values."""
        text = self.text
        lists = {name: [one.content for one in entries] for name, entries in text.lists.items()}
        return {**text.fields, **lists}

    @property
    def text(self) -> ManifestText:
        """The manifest as the text of its file."""
        fields = {
            "kind": DATASET_KIND,
            "config": self.config,
            "finished": self.finished,
            "version": self.version,
        }
        lists: dict[str, Sequence[Entry]] = {"shards": self.shards}
        if self.staged:  # a finished manifest is that of earlier versions
            lists["staged"] = self.staged
        return ManifestText(fields, lists)

    def write(self, root: str | Place) -> str:
        """Write the manifest atomically, then delete the journal, which it contains.

        Returns:
            Its digest.

        Raises:
            OutputError: it cannot be written.
        """
        folder, text = place_of(root), self.text
        digest = text.digest()
        with whole_file((folder / MANIFEST).new_file()) as file:
            for piece in text.pieces(digest):
                file.write(piece)
        folder.journal().delete()
        return digest

    @classmethod
    def read(cls, root: str | Place) -> "Manifest":
        """Read the manifest of a dataset folder and apply its journal.

        Raises:
            FileNotFoundError, NotADirectoryError: the folder has no manifest.
            DamagedError: it is not a manifest of pixelprune, or was changed.
        """
        folder = place_of(root)
        manifest, base, journal = folder.journal().read_with(lambda: cls._parse(folder / MANIFEST))
        try:
            changes = [manifest.parse_change(entry) for entry in journal.entries]
            if journal.base == base:
                for change in changes:
                    manifest.apply(change)
                manifest.check_staged()
            elif not manifest.contains(changes):
                raise IndexError
        except (ValueError, IndexError):
            raise DamagedError(
                f"{folder / JOURNAL} does not belong to the manifest beside it"
            ) from None
        return manifest

    @classmethod
    def _parse(cls, path: Place) -> tuple["Manifest", str]:
        """Return the manifest in a file, and its digest."""
        raw = path.read()
        try:
            text = json.loads(raw)
            manifest = cls._of(text)
            digest = manifest.text.digest()
            as_it_was = _is_text(raw, manifest.text.pieces(digest))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            reason = f": {error}" if isinstance(error, InvalidContentError) else ""
            raise DamagedError(
                f"{path} is not a manifest of pixelprune, or is damaged{reason}"
            ) from None
        if not as_it_was:
            raise DamagedError(
                f"{path} was changed after it was written: its digest does not match"
            )
        return manifest, digest

    @classmethod
    def _of(cls, text: Any) -> "Manifest":  # noqa: ANN401
        if not isinstance(text, dict) or text.get("kind") != DATASET_KIND:
            raise InvalidContentError("it has another kind")
        manifest = cls(parse_config(text["config"]))
        shards, finished = text["shards"], text["finished"]
        if not isinstance(shards, list) or not isinstance(finished, bool):
            raise InvalidContentError("shards or finished is missing")
        manifest.shards = [manifest.parse_shard(one) for one in shards]
        manifest.finished = finished
        manifest.version = parse_text(text["version"], "version")
        if len(manifest.version) > _MAX_VERSION_LENGTH:
            raise InvalidContentError("the version is too long")
        staged = text.get("staged", [])
        if not isinstance(staged, list):
            raise InvalidContentError("staged is not a list")
        manifest.staged = [manifest._parse_staged(one) for one in staged]
        manifest.check_staged()
        return manifest

    def parse_shard(self, text: Any) -> Shard:  # noqa: ANN401
        """Parse a shard with all files of this dataset.

        Raises:
            InvalidContentError: the value is not a valid shard.
        """
        shard = Shard.from_json(text, self.kinds)
        if shard.files.keys() != set(self.kinds):
            raise InvalidContentError("a shard lacks files")
        return shard

    def _parse_staged(self, text: Any) -> StagedShard:  # noqa: ANN401
        if not isinstance(text, dict) or text.keys() != {"first", "token", "shard"}:
            raise InvalidContentError("a staged shard has missing or unknown fields")
        first, token = parse_count(text["first"], "first"), parse_token(text["token"])
        return StagedShard(first, token, self.parse_shard(text["shard"]))

    def parse_change(self, entry: dict[str, Any]) -> Change:
        """Parse a line of the journal.

        Raises:
            InvalidContentError: the line has other content.
        """
        content = {name: value for name, value in entry.items() if name != "after"}
        if "first" in content:
            return self._parse_staged(content)
        token = parse_token(content["token"]) if "token" in content else ""
        number = parse_count(content.get("number"), "number")
        return Recorded(number, self.parse_shard(content.get("shard")), token)

    def apply(self, change: Change) -> None:
        """Append a shard, replace the one of a number, or let one wait.

        Raises:
            IndexError: the number leaves a gap.
        """
        if isinstance(change, StagedShard):
            insort(self.staged, change, key=lambda one: one.first)
            return
        if change.number == len(self.shards):
            self.shards.append(change.shard)
        else:
            self.shards[change.number] = change.shard
        if change.token:
            if self.staged and self.staged[0].token == change.token:
                del self.staged[0]
            self.renamed[change.number] = change.token

    def contains(self, changes: Sequence[Change]) -> bool:
        """Return whether changes were applied before, in this order.

        Raises:
            IndexError: a number is that of no shard.
        """
        recorded = {one.number: one.shard for one in changes if isinstance(one, Recorded)}
        placed = {one.token for one in changes if isinstance(one, Recorded)}
        waiting = [
            one for one in changes if isinstance(one, StagedShard) and one.token not in placed
        ]
        return all(self.shards[number] == shard for number, shard in recorded.items()) and all(
            one in self.staged for one in waiting
        )

    @property
    def inputs(self) -> int:
        """Number of inputs of the shards, without those that wait."""
        return sum(shard.inputs for shard in self.shards)

    def check_staged(self) -> None:
        """Check that the shards that wait have inputs of their own.

        Raises:
            InvalidContentError: two shards have the same input, or the same files.
        """
        if self.staged:
            ends = [self.inputs, *(one.end for one in self.staged)]
            overlap = any(one.first < end for one, end in zip(self.staged, ends, strict=False))
            if overlap or len({one.token for one in self.staged}) < len(self.staged):
                raise InvalidContentError("staged shards contradict one another")


class ManifestWriter:
    """Keeps the manifest of a dataset up to date; each change is one line of the journal.

    Args of the constructor:
        root: the dataset folder.
        manifest: the manifest in it, without a journal.
    """

    def __init__(self, root: Place, manifest: Manifest) -> None:
        self.manifest = manifest
        self._root = root
        self._start_journal(manifest.text.digest())

    def _start_journal(self, base: str) -> None:
        self._journal = self._root.journal().begin(base)
        self._lines, self._most_lines = 0, max(_LINES, len(self.manifest.shards))

    def record(self, change: Change) -> None:
        """Append, replace or stage a shard, durably.

        A journal of as many lines as the manifest has shards is merged into it first: resuming is
        quick, and all that is written stays in proportion to the changes.

        Raises:
            OutputError: it cannot be written.
        """
        if self._lines >= self._most_lines:
            self._merge()
        self.manifest.apply(change)
        self._journal.append(change.content)
        self._lines += 1

    def checkpoint(self, finished: bool) -> None:
        """Merge the journal into the manifest, unless nothing has changed.

        Args:
            finished: all inputs were processed.

        Raises:
            OutputError: it cannot be written.
        """
        if self._journal.is_empty and self.manifest.finished == finished:
            return
        self.manifest.finished = finished
        self._merge()

    def _merge(self) -> None:
        """Write the manifest; all files of earlier changes have their names by now."""
        self._journal.close()
        self.manifest.renamed.clear()
        self._start_journal(self.manifest.write(self._root))

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()


def _is_text(raw: bytes, pieces: Iterator[bytes]) -> bool:
    start = 0
    for piece in pieces:
        if not raw.startswith(piece, start):
            return False
        start += len(piece)
    return start == len(raw)


def main_kind(config: Config) -> str:
    """Return the kind of rows of a configuration; that of `analyze` does not name it."""
    return str(config.get("rows", STATS))
