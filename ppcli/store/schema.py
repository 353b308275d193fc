"""Arrow schemas made from the row classes, and the metadata that every file carries."""

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
_VERSION_OF_SCHEMA = 1


def _schema_of(row_type: type) -> pa.Schema:
    columns = []
    for name, hint in get_type_hints(row_type).items():
        nullable = isinstance(hint, UnionType)
        plain = get_args(hint)[0] if nullable else hint
        columns.append(pa.field(name, _ARROW[plain], nullable=nullable))
    return pa.schema(columns)


SCHEMAS = {kind: _schema_of(row_type) for kind, row_type in ROW_TYPES.items()}


def is_compatible(found: pa.Schema, wanted: pa.Schema) -> bool:
    """Whether rows can be had of a file: it may lack columns that came later, and are null then."""
    missing = [one for one in wanted if one.name not in found.names]
    present = pa.schema([one for one in wanted if one.name in found.names])
    return found.equals(present) and all(one.nullable for one in missing)


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """What a Parquet or Arrow file of ours says of itself.

    Attributes:
        kind: `stats`, `patches` or `answers`.
        config: the options that the rows depend on.
        version: of the program that wrote it.
    """

    kind: str
    config: Config
    version: str = __version__

    def attach(self, schema: pa.Schema) -> pa.Schema:
        """The schema with this metadata."""
        text = {
            "kind": self.kind,
            "version": self.version,
            "schema": _VERSION_OF_SCHEMA,
            "config": self.config,
        }
        return schema.with_metadata({_KEY: json.dumps(text, sort_keys=True).encode()})

    @classmethod
    def of(cls, schema: pa.Schema) -> "FileMetadata":
        """Read the metadata of a file.

        Raises:
            DamagedError: when there is none, or a later schema.
        """
        try:
            text = json.loads((schema.metadata or {})[_KEY])
            version = parse_text(text["version"], "version")
            if parse_count(text["schema"], "schema") > _VERSION_OF_SCHEMA:
                raise DamagedError(
                    f"it was written by pixelprune {bounded(version)}, which is newer; update"
                )
            if text["kind"] not in ROW_TYPES:
                raise InvalidContentError("its rows are of no kind that is known")
            return cls(text["kind"], parse_config(text["config"]), version)
        except InvalidContentError as error:
            raise DamagedError(f"it carries no pixelprune metadata: {error}") from None
        except (KeyError, TypeError, ValueError, RecursionError):
            raise DamagedError("it carries no pixelprune metadata") from None


def rows_to_table(rows: list[Any], schema: pa.Schema) -> pa.Table:
    """Rows of one class as an Arrow table, column by column."""
    names = [field.name for field in fields(rows[0])] if rows else []
    columns = {name: [getattr(row, name) for row in rows] for name in names}
    arrays = [pa.array(columns.get(field.name, []), type=field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)
