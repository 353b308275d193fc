"""The manifest of a dataset folder: what made it, and which shards it has."""

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

import xxhash

from ppcli.errors import DamagedError
from ppcli.store.atomic import atomic_file
from ppcli.store.choices import Config
from ppcli.store.rows import PATCHES, STATS
from ppcli.version import __version__

MANIFEST = "manifest.json"
SHARD_KEY = "pixelprune.shard"  # in the metadata of a file of main rows: the record of its shard
DATASET_KIND = "pixelprune dataset"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file as it was put in place.

    Attributes:
        size: in bytes.
        digest: XXH3-128 of the whole file, hexadecimal.
    """

    size: int
    digest: str


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

    @classmethod
    def from_json(cls, text: dict[str, Any]) -> "Shard":
        """The shard of a manifest or of a statistics file's metadata."""
        files = {kind: FileRecord(**record) for kind, record in text.pop("files").items()}
        return cls(**text, files=files)


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

    def write(self, root: str) -> None:
        """Put the manifest in place, whole.

        Raises:
            OutputError: when it cannot be written.
        """
        with atomic_file(os.path.join(root, MANIFEST)) as file:
            file.write(_text({"kind": DATASET_KIND, **asdict(self)}))

    @classmethod
    def read(cls, root: str) -> "Manifest":
        """Read the manifest of a dataset folder.

        Raises:
            FileNotFoundError, NotADirectoryError: when there is none.
            DamagedError: when it is not one of ours, or not as it was written.
        """
        path = os.path.join(root, MANIFEST)
        try:
            with open(path, "rb") as file:
                raw = file.read()
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError as error:
            raise DamagedError(f"{path} cannot be read: {error.strerror}") from error
        try:
            text = json.loads(raw)
            if text.pop("kind") != DATASET_KIND or not text.pop("digest"):
                raise ValueError
            shards = [Shard.from_json(shard) for shard in text["shards"]]
            manifest = cls(text["config"], shards, bool(text["finished"]), str(text["version"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DamagedError(f"{path} is not a manifest of pixelprune, or is damaged") from None
        if raw != _text({"kind": DATASET_KIND, **asdict(manifest)}):
            raise DamagedError(f"{path} is not as it was written: its digest is another")
        return manifest


def _text(content: dict[str, Any]) -> bytes:
    """The one spelling of a manifest, with the digest of all the rest in it."""
    digest = xxhash.xxh3_128_hexdigest(json.dumps(content, sort_keys=True).encode())
    return json.dumps(content | {"digest": digest}, indent=1, sort_keys=True).encode() + b"\n"


def main_kind(config: Config) -> str:
    """The kind of the rows that a configuration leads to; `analyze` does not name its own."""
    return str(config.get("rows", STATS))


def shard_path(root: str, kind: str, number: int) -> str:
    """Where the rows of a kind of a shard lie."""
    return os.path.join(root, kind, f"part-{number:05d}.parquet")
