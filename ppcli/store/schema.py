"""Arrow schemas of the row classes, and the metadata of every Parquet and Arrow file."""

import json
from dataclasses import dataclass
from types import UnionType
from typing import Any, get_args, get_type_hints

import pyarrow as pa

from ppcli.coding.coder_options import AUTO
from ppcli.errors import DamagedError, bounded
from ppcli.store.formats import ANSWER_COLUMN, KEEP_COLUMNS, Config, Kept
from ppcli.store.kept_columns import NO_COLUMNS, KeptRows, as_setting
from ppcli.store.metadata_checks import InvalidContentError, parse_config, parse_count, parse_text
from ppcli.store.rows import (
    ANSWER,
    ANSWERS,
    PATCHES,
    ROW_TYPES,
    STATS,
    column_names,
)
from ppcli.version import __version__

_ARROW = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bytes: pa.binary(),
}
_KEY = b"pixelprune"
_SCHEMA_VERSION = 1
_WITH_KEPT_COLUMNS = 2  # also with another name for the answer


def _schema_of(row_type: type) -> pa.Schema:
    columns = []
    for name, hint in get_type_hints(row_type).items():
        nullable = isinstance(hint, UnionType)
        plain = get_args(hint)[0] if nullable else hint
        columns.append(pa.field(name, _ARROW[plain], nullable=nullable))
    return pa.schema(columns)


SCHEMAS = {kind: _schema_of(row_type) for kind, row_type in ROW_TYPES.items()}


def _schema_for(kind: str, config: Config) -> pa.Schema:
    """Return the columns of a kind of rows; only a threshold `auto` may be null, in error rows."""
    names = set(column_names(kind, config))
    schema = pa.schema(one for one in SCHEMAS[kind] if one.name in names)
    if kind == STATS and config.get("threshold") != AUTO:
        place = schema.get_field_index("threshold")
        return schema.set(place, schema.field(place).with_nullable(False))
    return schema


def own_schema(kind: str, config: Config) -> pa.Schema:
    """Return the columns of a kind of rows, under the names that a configuration gives them."""
    schema = _schema_for(kind, config)
    if kind != ANSWERS or ANSWER_COLUMN not in config:
        return schema
    renamed = {ANSWER: config[ANSWER_COLUMN]}
    return pa.schema(one.with_name(renamed.get(one.name, one.name)) for one in schema)


def is_compatible(found: pa.Schema, metadata: "FileMetadata") -> bool:
    """Return whether a file can be read; nullable columns of later versions may be missing."""
    wanted = own_schema(metadata.kind, metadata.config)
    written = set(found.names) - metadata.kept_names
    missing = [one for one in wanted if one.name not in written]
    own = [one for one in wanted if one not in missing]
    kept = pa.schema(list(found)[len(own) :])
    return (
        pa.schema(list(found)[: len(own)]).equals(pa.schema(own))
        and all(one.nullable for one in missing)
        and as_setting(kept) == metadata.kept_setting
    )


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """Metadata of a Parquet or Arrow file.

    Attributes:
        kind: kind of the rows: `stats`, `patches`, `answers`, `scores` or `sweep`.
        config: options that the rows depend on.
        version: version of pixelprune that wrote the file.
        kept: columns that travel with the rows; not filled in by `of`.
    """

    kind: str
    config: Config
    version: str = __version__
    kept: pa.Schema = NO_COLUMNS

    @property
    def kept_setting(self) -> list[list[str]]:
        """Pairs of name and type of the kept columns; patch sets have none."""
        return [] if self.kind == PATCHES else self.config.get(KEEP_COLUMNS, [])

    @property
    def kept_names(self) -> set[str]:
        """Names of the kept columns."""
        return {name for name, _ in self.kept_setting}

    @property
    def schema(self) -> pa.Schema:
        """The schema of the file, with this metadata."""
        newer = self.kind != PATCHES and {KEEP_COLUMNS, ANSWER_COLUMN} & self.config.keys()
        text = {
            "kind": self.kind,
            "version": self.version,
            "schema": _WITH_KEPT_COLUMNS if newer else _SCHEMA_VERSION,
            "config": self.config,
        }
        return pa.schema(
            [*own_schema(self.kind, self.config), *self.kept],
            (self.kept.metadata or {}) | {_KEY: json.dumps(text, sort_keys=True).encode()},
        )

    @classmethod
    def of(cls, schema: pa.Schema) -> "FileMetadata":
        """Read the metadata of a file from its schema.

        Raises:
            DamagedError: it is missing or invalid, or has a newer version of the schema.
        """
        try:
            text = json.loads((schema.metadata or {})[_KEY])
            version = parse_text(text["version"], "version")
            if parse_count(text["schema"], "schema") > _WITH_KEPT_COLUMNS:
                raise DamagedError(
                    f"it was written by the newer pixelprune {bounded(version)}; update pixelprune"
                )
            if text["kind"] not in ROW_TYPES:
                raise InvalidContentError("its rows have an unknown kind")
            return cls(text["kind"], parse_config(text["config"]), version)
        except InvalidContentError as error:
            raise DamagedError(f"its pixelprune metadata is invalid: {error}") from None
        except (KeyError, TypeError, ValueError, RecursionError):
            raise DamagedError("it has no pixelprune metadata") from None


class RowBuffer:
    """Collects rows of one class with their kept columns, and makes tables of them.

    Args of the constructor:
        metadata: of the file.
    """

    def __init__(self, metadata: FileMetadata) -> None:
        self.schema = metadata.schema
        self._own = _schema_for(metadata.kind, metadata.config)
        self._rows: list[Any] = []
        self._kept = KeptRows(metadata.kept)

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, row: Any, kept: Kept | None) -> int:  # noqa: ANN401
        """Add a row, and return the size of its kept columns in bytes."""
        self._rows.append(row)
        return self._kept.add(kept)

    def take(self) -> list[pa.Table]:
        """Return the rows as tables, usually one, and begin again with none."""
        tables = self._tables(0, len(self._rows))
        self.clear()
        return tables

    def _tables(self, begin: int, end: int) -> list[pa.Table]:
        own = [
            pa.array([getattr(row, field.name) for row in self._rows[begin:end]], field.type)
            for field in self._own
        ]
        try:
            kept = self._kept.columns(begin, end)
        except pa.ArrowInvalid:  # more values than the dictionary of a column takes
            middle = (begin + end) // 2
            if middle == begin:
                raise
            return self._tables(begin, middle) + self._tables(middle, end)
        return [pa.Table.from_arrays([*own, *kept], schema=self.schema)]

    def clear(self) -> None:
        """Forget the rows."""
        self._rows = []
        self._kept.clear()
