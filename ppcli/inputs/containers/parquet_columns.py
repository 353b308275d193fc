"""Finds the column of a Parquet file that holds images."""

import json
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ppcli.errors import ErrorCode, bounded, did_you_mean
from ppcli.inputs.containers.member_files import (
    ContainerError,
    NoImagesError,
    begins_like_an_image,
)
from ppcli.inputs.sniff import has_image_extension

_SAMPLED, _AT_A_TIME = 16, 4
_OWN_KEY = b"pixelprune"
HUGGING_FACE = b"huggingface"
_CHOOSE = "choose one with --image-column"


class ColumnKind(StrEnum):
    """How a column holds images."""

    STRUCT = "struct"  # of bytes and path
    BINARY = "binary"
    TEXT = "text"  # paths or URLs


class ImageColumn(NamedTuple):
    """A column that holds images."""

    name: str
    kind: ColumnKind

    @property
    def is_text(self) -> bool:
        """Whether its values name files."""
        return self.kind is ColumnKind.TEXT


def image_column(file: pq.ParquetFile, wanted: str | None) -> ImageColumn:
    """Return the column that holds the images of a file.

    Without a wanted one it is found in the features that `datasets` writes, or else by its type:
    a struct of bytes and path, bytes that begin like an image, text that ends like one.

    Raises:
        NoImagesError: there is no such column, or there are several.
    """
    schema = file.schema_arrow
    if wanted is not None:
        return _named(schema, wanted)
    own = any(key.startswith(_OWN_KEY) for key in schema.metadata or {})
    for names in _candidates(file, own):
        if len(names) == 1:
            return _named(schema, names[0])
        if names:
            raise NoImagesError(f"several columns hold images ({_listed(names)}); {_CHOOSE}")
    if own:
        raise NoImagesError(f"it was written by pixelprune; {_CHOOSE} if images were kept in it")
    lists = [field.name for field in schema if _holds_lists(field.type)]
    if lists:
        raise NoImagesError(
            f"no column holds one image per row; lists of images ({_listed(lists)}) are not "
            "supported: flatten them first"
        )
    raise NoImagesError(
        f"no column holds images; there are {_listed(schema.names)}; {_CHOOSE} if one does"
    )


def _candidates(file: pq.ParquetFile, own: bool) -> Iterable[list[str]]:
    schema = file.schema_arrow
    yield [name for name in _image_features(schema) if name in schema.names]
    yield [field.name for field in schema if _kind(field.type) is ColumnKind.STRUCT]
    if own:
        return
    yield _beginning_like(file, ColumnKind.BINARY, begins_like_an_image)
    yield _beginning_like(file, ColumnKind.TEXT, has_image_extension)


def _named(schema: pa.Schema, name: str) -> ImageColumn:
    if name not in schema.names:
        near = did_you_mean(name, schema.names)
        raise NoImagesError(
            f"there is no column {bounded(name)}; there are {_listed(schema.names)}{near}"
        )
    kind = _kind(schema.field(name).type)
    if kind is None:
        raise NoImagesError(
            f"the column {bounded(name)} is of type {bounded(str(schema.field(name).type))}; "
            "images are bytes, a struct of bytes and path, or text with paths"
        )
    return ImageColumn(name, kind)


def _listed(names: Iterable[str]) -> str:
    return bounded(", ".join(names))


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """Return the features that `datasets` wrote to the metadata of a schema, by column."""
    try:
        found = json.loads((schema.metadata or {})[HUGGING_FACE])["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _image_features(schema: pa.Schema) -> list[str]:
    return [
        name
        for name, feature in features_of(schema).items()
        if isinstance(feature, dict) and feature.get("_type") == "Image"
    ]


def _kind(column: pa.DataType) -> ColumnKind | None:
    if pa.types.is_dictionary(column):
        column = column.value_type
    if pa.types.is_struct(column):
        types = {column.field(i).name: column.field(i).type for i in range(column.num_fields)}
        path = types.get("path", pa.null())
        has_path = _is_text(path) or pa.types.is_null(path)  # no row may have a path
        return ColumnKind.STRUCT if _is_binary(types.get("bytes")) and has_path else None
    if _is_binary(column):
        return ColumnKind.BINARY
    return ColumnKind.TEXT if _is_text(column) else None


def _is_binary(column: pa.DataType | None) -> bool:
    return column is not None and (
        pa.types.is_binary(column)
        or pa.types.is_large_binary(column)
        or pa.types.is_binary_view(column)
        or pa.types.is_fixed_size_binary(column)
    )


def _is_text(column: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(column)
        or pa.types.is_large_string(column)
        or pa.types.is_string_view(column)
    )


def _holds_lists(column: pa.DataType) -> bool:
    lists = pa.types.is_list(column) or pa.types.is_large_list(column)
    return lists and _kind(column.value_type) in (ColumnKind.STRUCT, ColumnKind.BINARY)


def _beginning_like(
    file: pq.ParquetFile, kind: ColumnKind, fits: Callable[[Any], bool]
) -> list[str]:
    """Return the columns of a kind whose first values all fit, at least one."""
    names = [field.name for field in file.schema_arrow if _kind(field.type) is kind]
    seen: dict[str, list[bool]] = {name: [] for name in names}
    damage = ""
    rows = 0
    for group in range(file.metadata.num_row_groups if names else 0):
        try:
            for batch in file.iter_batches(
                _AT_A_TIME, row_groups=[group], columns=names, use_threads=False
            ):
                for name in names:
                    seen[name] += [fits(value) for value in batch[name].to_pylist() if value]
                rows += batch.num_rows
                if rows >= _SAMPLED:
                    break
        except (OSError, pa.ArrowException) as error:  # its rows become error rows
            damage = bounded(str(error))
        if rows >= _SAMPLED:
            break
    if damage and not any(seen.values()):
        raise ContainerError(ErrorCode.CORRUPT, f"the Parquet file is damaged: {damage}")
    return [name for name in names if seen[name] and all(seen[name])]
