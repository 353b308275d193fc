"""Arrow schemas of the row classes, and the metadata of every Parquet and Arrow file."""

import json
from dataclasses import dataclass, fields
from types import UnionType
from typing import Any, get_args, get_type_hints

import pyarrow as pa

from ppcli.errors import DamagedError, bounded
from ppcli.store.formats import Config
from ppcli.store.metadata_checks import InvalidContentError, parse_config, parse_count, parse_text
from ppcli.store.rows import ROW_TYPES
from ppcli.version import __version__

_ARROW = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bytes: pa.binary(),
}
_KEY = b"pixelprune"
_SCHEMA_VERSION = 1


def _schema_of(row_type: type) -> pa.Schema:
    columns = []
    for name, hint in get_type_hints(row_type).items():
        nullable = isinstance(hint, UnionType)
        plain = get_args(hint)[0] if nullable else hint
        columns.append(pa.field(name, _ARROW[plain], nullable=nullable))
    return pa.schema(columns)


SCHEMAS = {kind: _schema_of(row_type) for kind, row_type in ROW_TYPES.items()}


def is_compatible(found: pa.Schema, wanted: pa.Schema) -> bool:
    """Return whether a file can be read; nullable columns of later versions may be missing."""
    missing = [one for one in wanted if one.name not in found.names]
    present = pa.schema([one for one in wanted if one.name in found.names])
    return found.equals(present) and all(one.nullable for one in missing)


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """Metadata of a Parquet or Arrow file.

    Attributes:
        kind: kind of the rows: `stats`, `patches`, `answers` or `scores`.
        config: options that the rows depend on.
        version: version of pixelprune that wrote the file.
    """

    kind: str
    config: Config
    version: str = __version__

    def attach(self, schema: pa.Schema) -> pa.Schema:
        """Return the schema with this metadata."""
        text = {
            "kind": self.kind,
            "version": self.version,
            "schema": _SCHEMA_VERSION,
            "config": self.config,
        }
        return schema.with_metadata({_KEY: json.dumps(text, sort_keys=True).encode()})

    @classmethod
    def of(cls, schema: pa.Schema) -> "FileMetadata":
        """Read the metadata of a file from its schema.

        Raises:
            DamagedError: it is missing or invalid, or has a newer version of the schema.
        """
        try:
            text = json.loads((schema.metadata or {})[_KEY])
            version = parse_text(text["version"], "version")
            if parse_count(text["schema"], "schema") > _SCHEMA_VERSION:
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


def rows_to_table(rows: list[Any], schema: pa.Schema) -> pa.Table:
    """Convert rows of one class to an Arrow table."""
    names = [field.name for field in fields(rows[0])] if rows else []
    columns = {name: [getattr(row, name) for row in rows] for name in names}
    arrays = [pa.array(columns.get(field.name, []), type=field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)
