"""The manifest of a dataset folder: what made it, and which shards it has."""

import json
import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from ppcli.errors import DamagedError
from ppcli.store.atomic import as_output_error, atomic_file, file_digest
from ppcli.store.formats import Config
from ppcli.store.journal import Journal, canonical_json, content_digest, read_journal, read_own_file
from ppcli.store.metadata_checks import InvalidContentError, parse_config, parse_count, parse_text
from ppcli.store.rows import PATCHES, STATS
from ppcli.version import __version__

MANIFEST = "manifest.json"
JOURNAL = "manifest.journal"  # what has changed since the manifest was written
SHARD_KEY = "pixelprune.shard"  # in the metadata of a file of main rows: the record of its shard
DATASET_KIND = "pixelprune dataset"
_LONGEST_VERSION = 100


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file as it was put in place.

    Attributes:
        size: in bytes.
        digest: XXH3-128 of the whole file, hexadecimal.
    """

    size: int
    digest: str

    def change(self, path: str) -> str:
        """Words for how a file differs from what was put in place; empty when in no byte."""
        try:
            same = os.path.getsize(path) == self.size and FileRecord(*file_digest(path)) == self
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        return "" if same else "is not as it was written"


@dataclass(slots=True)
class Shard:
    """One pair of files that cover the same inputs.

    Attributes:
        inputs: how many input files.
        inputs_digest: of their identities, sizes and times.
        rows: of the main kind.
        failed: rows with an error.
        patch_sets: rows of patch sets.
        patch_bytes: of masks and compressed tiles.
        files: by kind.
    """

    inputs: int = 0
    inputs_digest: str = ""
    rows: int = 0
    failed: int = 0
    patch_sets: int = 0
    patch_bytes: int = 0
    files: dict[str, FileRecord] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """All of them, by name."""
        return {name: getattr(self, name) for name in _COUNTS}

    @classmethod
    def from_json(cls, text: Any, kinds: Collection[str]) -> "Shard":  # noqa: ANN401
        """The shard of a manifest or of a statistics file's metadata.

        Args:
            text: of JSON, whatever it is.
            kinds: that its files may be of.

        Raises:
            InvalidContentError: when it is no shard, or one that cannot be.
        """
        if not isinstance(text, dict) or text.keys() != cls.__dataclass_fields__.keys():
            raise InvalidContentError("a shard does not have the fields of one")
        files = text["files"]
        if not isinstance(files, dict) or not files.keys() <= set(kinds):
            raise InvalidContentError("a shard has files of no kind that is known")
        records = {kind: _file_record(record) for kind, record in files.items()}
        digest = parse_text(text["inputs_digest"], "inputs_digest")
        counts = {name: parse_count(text[name], name) for name in _COUNTS}
        shard = cls(inputs_digest=digest, files=records, **counts)
        if max(shard.inputs, shard.failed, shard.patch_sets) > shard.rows:
            raise InvalidContentError("the counts of a shard do not agree")
        return shard


_COUNTS = ("inputs", "rows", "failed", "patch_sets", "patch_bytes")


def _file_record(text: Any) -> FileRecord:  # noqa: ANN401
    if not isinstance(text, dict) or text.keys() != {"size", "digest"}:
        raise InvalidContentError("a file does not have a size and a digest")
    return FileRecord(parse_count(text["size"], "size"), parse_text(text["digest"], "digest"))


@dataclass(slots=True)
class Manifest:
    """What a dataset folder holds.

    Attributes:
        config: the options that the rows depend on.
        shards: in order; the number of a shard is its place here.
        finished: whether all inputs were done.
        version: of the program that wrote it.
    """

    config: Config
    shards: list[Shard] = field(default_factory=list)
    finished: bool = False
    version: str = __version__

    @property
    def has_patches(self) -> bool:
        """Whether the dataset was asked to hold patch sets."""
        return bool(self.config.get("patches"))

    @property
    def main_kind(self) -> str:
        """The kind of rows that every input has: `stats` or `answers`."""
        return main_kind(self.config)

    @property
    def kinds(self) -> list[str]:
        """The kinds of files that each shard has, in the order they are put in place."""
        return [PATCHES, self.main_kind] if self.has_patches else [self.main_kind]

    @property
    def content(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {"kind": DATASET_KIND, **asdict(self)}

    def write(self, root: str) -> None:
        """Put the manifest in place, whole; its journal has nothing more to say.

        Raises:
            OutputError: when it cannot be written.
        """
        with atomic_file(os.path.join(root, MANIFEST)) as file:
            file.write(canonical_json(self.content, indent=1))
        journal = os.path.join(root, JOURNAL)
        with as_output_error(journal), suppress(FileNotFoundError):
            os.unlink(journal)

    @classmethod
    def read(cls, root: str) -> "Manifest":
        """Read the manifest of a dataset folder, and what its journal adds.

        Raises:
            FileNotFoundError, NotADirectoryError: when there is none.
            DamagedError: when it is not one of ours, or not as it was written.
        """
        path = os.path.join(root, JOURNAL)
        journal = read_journal(path)  # first: a run at work may fold it into the manifest
        manifest = cls._parse(os.path.join(root, MANIFEST))
        if not journal.entries:
            return manifest
        base = content_digest(manifest.content)
        try:
            changes = [manifest.change(entry) for entry in journal.entries]
            if journal.base == base:
                for number, shard in changes:
                    manifest.put(number, shard)
            elif any(manifest.shards[number] != shard for number, shard in dict(changes).items()):
                raise IndexError
        except (ValueError, IndexError):
            raise DamagedError(f"{path} does not go with the manifest beside it") from None
        return manifest

    @classmethod
    def _parse(cls, path: str) -> "Manifest":
        raw = read_own_file(path)
        try:
            manifest = cls._of(json.loads(raw))
            as_it_was = raw == canonical_json(manifest.content, indent=1)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            reason = f": {error}" if isinstance(error, InvalidContentError) else ""
            raise DamagedError(
                f"{path} is not a manifest of pixelprune, or is damaged{reason}"
            ) from None
        if not as_it_was:
            raise DamagedError(f"{path} is not as it was written: its digest is another")
        return manifest

    @classmethod
    def _of(cls, text: Any) -> "Manifest":  # noqa: ANN401
        if not isinstance(text, dict) or text.get("kind") != DATASET_KIND:
            raise InvalidContentError("it is of another kind")
        manifest = cls(parse_config(text["config"]))
        shards, finished = text["shards"], text["finished"]
        if not isinstance(shards, list) or not isinstance(finished, bool):
            raise InvalidContentError(
                "it does not say which shards there are, or whether they are all"
            )
        manifest.shards = [manifest.shard(one) for one in shards]
        manifest.finished = finished
        manifest.version = parse_text(text["version"], "version")
        if len(manifest.version) > _LONGEST_VERSION:
            raise InvalidContentError("its version is none")
        return manifest

    def shard(self, text: Any) -> Shard:  # noqa: ANN401
        """A shard of this dataset, from JSON.

        Raises:
            InvalidContentError: when it is none.
        """
        shard = Shard.from_json(text, self.kinds)
        if shard.files.keys() != set(self.kinds):
            raise InvalidContentError("a shard lacks files")
        return shard

    def change(self, entry: dict[str, Any]) -> tuple[int, Shard]:
        """The number of a shard and the shard, from a line of the journal.

        Raises:
            InvalidContentError: when it says something else.
        """
        return parse_count(entry.get("number"), "number"), self.shard(entry.get("shard"))

    def put(self, number: int, shard: Shard) -> None:
        """Take a new shard, or one in the place of another.

        Raises:
            IndexError: when there are fewer before it.
        """
        if number == len(self.shards):
            self.shards.append(shard)
        else:
            self.shards[number] = shard


class ManifestWriter:
    """The manifest of a dataset that is being written to: what changes costs one line.

    Args of the constructor:
        root: the dataset folder.
        manifest: as it stands there, without a journal.
    """

    def __init__(self, root: str, manifest: Manifest) -> None:
        self.manifest = manifest
        self._root = root
        self._begin()

    def _begin(self) -> None:
        base = content_digest(self.manifest.content)
        self._journal = Journal(os.path.join(self._root, JOURNAL), base)

    def put(self, number: int, shard: Shard) -> None:
        """Take a new shard, or one in the place of another, and bring that to the disk.

        Raises:
            OutputError: when it cannot be written.
        """
        self.manifest.put(number, shard)
        self._journal.append({"number": number, "shard": asdict(shard)})

    def settle(self, finished: bool) -> None:
        """Write the manifest whole, with or without more to come, if that says anything new.

        Raises:
            OutputError: when it cannot be written.
        """
        if self._journal.is_empty and self.manifest.finished == finished:
            return
        self._journal.close()
        self.manifest.finished = finished
        self.manifest.write(self._root)
        self._begin()

    def close(self) -> None:
        """Let go of the files."""
        self._journal.close()


def main_kind(config: Config) -> str:
    """The kind of the rows that a configuration leads to; `analyze` does not name its own."""
    return str(config.get("rows", STATS))


def shard_path(root: str, kind: str, number: int) -> str:
    """Where the rows of a kind of a shard lie."""
    return os.path.join(root, kind, f"part-{number:05d}.parquet")
