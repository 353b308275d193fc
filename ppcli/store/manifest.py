"""The manifest of a dataset folder: what made it, and which shards it has."""

import json
import os
from dataclasses import asdict, dataclass, field

from ppcli.errors import DamagedError
from ppcli.store.atomic import atomic_file
from ppcli.store.schema import Config
from ppcli.version import __version__

MANIFEST = "manifest.json"
STATS, PATCHES = "stats", "patches"
_KIND = "pixelprune dataset"


@dataclass(slots=True)
class Shard:
    """One pair of files that cover the same inputs."""

    inputs: int = 0
    rows: int = 0
    patch_sets: int = 0


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
        return bool(self.config["patches"])

    def write(self, root: str) -> None:
        """Put the manifest in place, whole.

        Raises:
            OutputError: when it cannot be written.
        """
        text = {"kind": _KIND, **asdict(self)}
        with atomic_file(os.path.join(root, MANIFEST)) as file:
            file.write(json.dumps(text, indent=1, sort_keys=True).encode() + b"\n")

    @classmethod
    def read(cls, root: str) -> "Manifest":
        """Read the manifest of a dataset folder.

        Raises:
            FileNotFoundError: when there is none.
            DamagedError: when it is not one of ours.
        """
        path = os.path.join(root, MANIFEST)
        try:
            with open(path, encoding="utf-8") as file:
                text = json.load(file)
            if text["kind"] != _KIND:
                raise ValueError(text["kind"])
            shards = [Shard(**shard) for shard in text["shards"]]
            config = dict(text["config"])
            return cls(config, shards, bool(text["finished"]), str(text["version"]))
        except (KeyError, TypeError, ValueError):
            raise DamagedError(f"{path} is not a manifest of pixelprune, or is damaged") from None


def shard_path(root: str, kind: str, number: int) -> str:
    """Where the statistics or the patch sets of a shard lie."""
    return os.path.join(root, kind, f"part-{number:05d}.parquet")
