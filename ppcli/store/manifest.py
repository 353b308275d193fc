"""The manifest of a dataset folder: its configuration and its shards."""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any

from ppcli.errors import DamagedError
from ppcli.store.atomic import whole_file
from ppcli.store.formats import Config
from ppcli.store.journal import canonical_json, content_digest
from ppcli.store.metadata_checks import InvalidContentError, parse_config, parse_count, parse_text
from ppcli.store.places.place import JOURNAL, Place, place_of
from ppcli.store.rows import PATCHES, STATS
from ppcli.version import __version__

MANIFEST = "manifest.json"
SHARD_KEY = "pixelprune.shard"  # metadata of a file of main rows: the record of its shard
DATASET_KIND = "pixelprune dataset"
_MAX_VERSION_LENGTH = 100


@dataclass(frozen=True, slots=True)
class FileRecord:
    """Size and digest of a file of a shard.

    Attributes:
        size: size in bytes.
        digest: XXH3-128 of the file, hexadecimal.
    """

    size: int
    digest: str

    def difference(self, path: str | Place) -> str:
        """Describe how a file differs from this record; an empty text if it does not."""
        place = place_of(path)
        try:
            same = place.size() == self.size and FileRecord(*place.digest()) == self
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"
        return "" if same else "was changed after it was written"


@dataclass(slots=True)
class Shard:
    """The files that cover the same inputs, and their counts.

    Attributes:
        inputs: number of inputs.
        inputs_digest: digest of their ids, sizes and modification times.
        rows: number of rows of the main kind.
        failed: number of error rows.
        patch_sets: number of patch sets.
        patch_bytes: bytes of masks and compressed tiles.
        files: records of the files, by kind.
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
        """The counts by name."""
        return {name: getattr(self, name) for name in _COUNTS}

    @classmethod
    def from_json(cls, text: Any, kinds: Collection[str]) -> "Shard":  # noqa: ANN401
        """Parse a shard from a manifest, a journal or the metadata of a file.

        Args:
            text: parsed JSON.
            kinds: valid kinds of files.

        Raises:
            InvalidContentError: the value is not a valid shard.
        """
        if not isinstance(text, dict) or text.keys() != cls.__dataclass_fields__.keys():
            raise InvalidContentError("a shard has missing or unknown fields")
        files = text["files"]
        if not isinstance(files, dict) or not files.keys() <= set(kinds):
            raise InvalidContentError("a shard has files of an unknown kind")
        records = {kind: _file_record(record) for kind, record in files.items()}
        digest = parse_text(text["inputs_digest"], "inputs_digest")
        counts = {name: parse_count(text[name], name) for name in _COUNTS}
        shard = cls(inputs_digest=digest, files=records, **counts)
        if max(shard.inputs, shard.failed, shard.patch_sets) > shard.rows:
            raise InvalidContentError("the counts of a shard contradict one another")
        return shard


_COUNTS = ("inputs", "rows", "failed", "patch_sets", "patch_bytes")


def _file_record(text: Any) -> FileRecord:  # noqa: ANN401
    if not isinstance(text, dict) or text.keys() != {"size", "digest"}:
        raise InvalidContentError("the record of a file lacks size or digest")
    return FileRecord(parse_count(text["size"], "size"), parse_text(text["digest"], "digest"))


@dataclass(slots=True)
class Manifest:
    """The content of a dataset folder.

    Attributes:
        config: options that the rows depend on.
        shards: shards in order; the index is the number in the file names.
        finished: all inputs were processed.
        version: version of pixelprune that wrote it.
    """

    config: Config
    shards: list[Shard] = field(default_factory=list)
    finished: bool = False
    version: str = __version__

    @property
    def has_patches(self) -> bool:
        """Whether the dataset has patch sets."""
        return bool(self.config.get("patches"))

    @property
    def main_kind(self) -> str:
        """Kind of the rows that every input has: `stats`, `answers` or `scores`."""
        return main_kind(self.config)

    @property
    def kinds(self) -> list[str]:
        """Kinds of files of each shard, in the order in which they are put in place."""
        return [PATCHES, self.main_kind] if self.has_patches else [self.main_kind]

    @property
    def content(self) -> dict[str, Any]:
        """The manifest as JSON values."""
        return {"kind": DATASET_KIND, **asdict(self)}

    def write(self, root: str | Place) -> None:
        """Write the manifest atomically, then delete the journal, which it contains.

        Raises:
            OutputError: it cannot be written.
        """
        folder = place_of(root)
        with whole_file((folder / MANIFEST).new_file()) as file:
            file.write(canonical_json(self.content, indent=1))
        folder.journal().delete()

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
                for number, shard in changes:
                    manifest.set_shard(number, shard)
            elif any(manifest.shards[number] != shard for number, shard in dict(changes).items()):
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
            as_it_was = raw == canonical_json(manifest.content, indent=1)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            reason = f": {error}" if isinstance(error, InvalidContentError) else ""
            raise DamagedError(
                f"{path} is not a manifest of pixelprune, or is damaged{reason}"
            ) from None
        if not as_it_was:
            raise DamagedError(
                f"{path} was changed after it was written: its digest does not match"
            )
        return manifest, text["digest"]

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

    def parse_change(self, entry: dict[str, Any]) -> tuple[int, Shard]:
        """Parse a line of the journal: the number of a shard, and the shard.

        Raises:
            InvalidContentError: the line has other content.
        """
        return parse_count(entry.get("number"), "number"), self.parse_shard(entry.get("shard"))

    def set_shard(self, number: int, shard: Shard) -> None:
        """Append a shard, or replace the one of this number.

        Raises:
            IndexError: the number leaves a gap.
        """
        if number == len(self.shards):
            self.shards.append(shard)
        else:
            self.shards[number] = shard


class ManifestWriter:
    """Keeps the manifest of a dataset up to date; each change is one line of the journal.

    Args of the constructor:
        root: the dataset folder.
        manifest: the manifest in it, without a journal.
    """

    def __init__(self, root: Place, manifest: Manifest) -> None:
        self.manifest = manifest
        self._root = root
        self._start_journal()

    def _start_journal(self) -> None:
        self._journal = self._root.journal().begin(content_digest(self.manifest.content))

    def record(self, number: int, shard: Shard) -> None:
        """Append or replace a shard, durably.

        Raises:
            OutputError: it cannot be written.
        """
        self.manifest.set_shard(number, shard)
        self._journal.append({"number": number, "shard": asdict(shard)})

    def checkpoint(self, finished: bool) -> None:
        """Merge the journal into the manifest, unless nothing has changed.

        Args:
            finished: all inputs were processed.

        Raises:
            OutputError: it cannot be written.
        """
        if self._journal.is_empty and self.manifest.finished == finished:
            return
        self._journal.close()
        self.manifest.finished = finished
        self.manifest.write(self._root)
        self._start_journal()

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()


def main_kind(config: Config) -> str:
    """Return the kind of rows of a configuration; that of `analyze` does not name it."""
    return str(config.get("rows", STATS))


def shard_path(root: str | Place, kind: str, number: int) -> Place:
    """Return the place of one file of a shard."""
    return place_of(root) / kind / shard_name(number)


def shard_name(number: int) -> str:
    """Return the name of each file of a shard, in the folder of its kind."""
    return f"part-{number:05d}.parquet"
