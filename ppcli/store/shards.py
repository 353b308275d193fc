"""The shards of a dataset: their records, and the names of their files."""

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from ppcli.store.metadata_checks import InvalidContentError, parse_count, parse_text
from ppcli.store.places.place import Place, place_of

SHARD_KEY = "pixelprune.shard"  # metadata of a file of main rows: the record of its shard
STAGED_SUFFIX = ".staged"
REPLACES = -1  # in place of the first input: it replaces a finished shard
_TOKEN = re.compile("[0-9a-f]{16}")


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

    @property
    def content(self) -> dict[str, Any]:
        """The shard as JSON values."""
        files = {kind: {"size": one.size, "digest": one.digest} for kind, one in self.files.items()}
        return {"inputs_digest": self.inputs_digest, "files": files, **self.counts}

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


@dataclass(frozen=True, slots=True)
class StagedShard:
    """A shard whose files are complete and durable, under names of their own.

    Attributes:
        first: number of its first input among all inputs of the dataset, from 0; `REPLACES` for
            the replacement of a finished shard.
        token: begins the names of its files; random, new for each shard.
        shard: its record.
    """

    first: int
    token: str
    shard: Shard

    @property
    def end(self) -> int:
        """The number after that of its last input."""
        return self.first + self.shard.inputs

    @property
    def content(self) -> dict[str, Any]:
        """The staged shard as JSON values."""
        return {"first": self.first, "token": self.token, "shard": self.shard.content}


def new_token() -> str:
    """Return a name for the files of a staged shard."""
    return secrets.token_hex(8)


def parse_token(given: Any) -> str:  # noqa: ANN401
    """Return the token of a staged shard.

    Raises:
        InvalidContentError: the value is anything else.
    """
    token = parse_text(given, "token")
    if not _TOKEN.fullmatch(token):
        raise InvalidContentError("token is not one of a staged shard")
    return token


def shard_path(root: str | Place, kind: str, number: int) -> Place:
    """Return the place of one file of a shard."""
    return place_of(root) / kind / shard_name(number)


def shard_name(number: int) -> str:
    """Return the name of each file of a shard, in the folder of its kind."""
    return f"part-{number:05d}.parquet"


def staged_name(token: str) -> str:
    """Return the name of each file of a staged shard, in the folder of its kind."""
    return token + STAGED_SUFFIX
