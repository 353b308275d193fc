"""Columns of the inputs that travel into the rows: their types, their values, and both as text.

A value is an Arrow scalar, so that no type loses anything on its way. A column that an input does
not have is null in its rows.
"""

import base64
import io
import json
import math
from collections.abc import Collection, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ppcli.errors import UsageError, bounded
from ppcli.inputs.containers.parquet_columns import HUGGING_FACE, features_of
from ppcli.store.formats import Kept
from ppcli.store.rows import ANSWER

NO_COLUMNS = pa.schema([])
_ADVICE = "name the other columns in --keep-columns"


def kept_schema(fields: pa.Schema, own: Collection[str]) -> pa.Schema:
    """Return the schema of kept columns as files will have it.

    Args:
        fields: the columns in order. Of their metadata, what `datasets` wrote is kept.
        own: names of the columns that every row has.

    Raises:
        UsageError: a column has the name of one of these, or a type that Parquet does not have.
    """
    for name in fields.names:
        if name in own:
            advice = f"use --answer-column, or {_ADVICE}" if name == ANSWER else _ADVICE
            raise UsageError(
                f"{bounded(name)} is a kept column and a column of pixelprune; {advice}"
            )
    plain = pa.schema([pa.field(one.name, one.type) for one in fields])
    schema = pa.schema([_as_stored(one) for one in plain])
    features = features_of(fields)
    known = {name: features[name] for name in schema.names if name in features}
    if not known:
        return schema
    return schema.with_metadata({HUGGING_FACE: json.dumps({"info": {"features": known}}).encode()})


def _as_stored(field: pa.Field) -> pa.Field:
    """Return a field as Parquet gives it back, which may name the parts of its type otherwise."""
    file = io.BytesIO()
    try:
        pq.write_table(pa.schema([field]).empty_table(), file)
        return pq.read_schema(file).field(0).remove_metadata()
    except (pa.ArrowException, OSError):
        raise UsageError(
            f"the column {bounded(field.name)} has the type {bounded(str(field.type))}, which "
            f"Parquet does not have; {_ADVICE}"
        ) from None


def as_setting(schema: pa.Schema) -> list[list[str]]:
    """Return pairs of name and type as text, for the configuration."""
    return [[field.name, str(field.type)] for field in schema]


class KeptRows:
    """Collects the values of kept columns, row by row.

    Args of the constructor:
        schema: of the kept columns.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._arrays: list[list[pa.Array]] = [[] for _ in schema]

    def add(self, kept: Kept | None) -> int:
        """Add the values of a row, and return their size in bytes."""
        size = 0
        for field, column in zip(self._schema, self._arrays, strict=True):
            array = _array_of((kept or {}).get(field.name), field.type)
            column.append(array)
            size += array.nbytes
        return size

    def columns(self, begin: int, end: int) -> list[pa.ChunkedArray]:
        """Return the columns of some rows.

        Raises:
            pa.ArrowInvalid: the dictionary of a column cannot have all values of the rows.
        """
        return [
            _column_of(column[begin:end], field.type)
            for field, column in zip(self._schema, self._arrays, strict=True)
        ]

    def clear(self) -> None:
        """Forget the rows."""
        self._arrays = [[] for _ in self._schema]


def _array_of(value: Any, kind: pa.DataType) -> pa.Array:  # noqa: ANN401
    if value is None:
        return pa.nulls(1, kind.value_type if pa.types.is_dictionary(kind) else kind)
    if pa.types.is_dictionary(kind):  # a scalar has the whole dictionary of its file
        return pa.repeat(value.value, 1).cast(kind.value_type)
    array = pa.repeat(value, 1)
    return array if array.type == kind else array.cast(kind)


def _column_of(arrays: list[pa.Array], kind: pa.DataType) -> pa.ChunkedArray:
    if not pa.types.is_dictionary(kind):
        return pa.chunked_array(pa.concat_arrays(arrays) if arrays else [], kind)
    encoded = pa.chunked_array(arrays, kind.value_type).combine_chunks().dictionary_encode()
    indices = encoded.indices.cast(kind.index_type)
    return pa.chunked_array(
        [pa.DictionaryArray.from_arrays(indices, encoded.dictionary, ordered=kind.ordered)]
    )


def read_kept(batch: pa.RecordBatch, names: Collection[str]) -> Iterator[Kept]:
    """Return the values of some columns, row by row."""
    columns = {name: batch.column(name) for name in names}
    for row in range(batch.num_rows):
        yield {name: column[row] for name, column in columns.items()}


def json_value(value: Any) -> Any:  # noqa: ANN401, PLR0911
    """Return a scalar as JSON has it: bytes as base64, times and decimals as text, NaN as null."""
    if value is None or not value.is_valid:
        return None
    kind = value.type
    if pa.types.is_struct(kind):
        return {name: json_value(value[number]) for number, name in enumerate(kind.names)}
    if pa.types.is_map(kind) or _is_list(kind):
        return [json_value(one) for one in value.values]
    if pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        return json_value(value.value)
    if _is_binary(kind):
        return base64.b64encode(value.as_py()).decode()
    if pa.types.is_floating(kind):
        number = float(value.as_py())
        return number if math.isfinite(number) else None
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        return value.cast(pa.string()).as_py()
    return value.as_py()


def _is_list(kind: pa.DataType) -> bool:
    checks = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
    return any(getattr(pa.types, f"is_{one}")(kind) for one in checks)


def _is_binary(kind: pa.DataType) -> bool:
    checks = ("binary", "large_binary", "fixed_size_binary", "binary_view")
    return any(getattr(pa.types, f"is_{one}")(kind) for one in checks)


def json_values(schema: pa.Schema, kept: Kept | None) -> dict[str, Any]:
    """Return the values of a row as JSON has them, null where it has none."""
    return {name: json_value((kept or {}).get(name)) for name in schema.names}


def csv_values(schema: pa.Schema, kept: Kept | None) -> list[Any]:
    """Return the values of a row as text of CSV: lists and structs, and truth values, as JSON."""
    values = json_values(schema, kept).values()
    return [
        json.dumps(one, ensure_ascii=False) if isinstance(one, dict | list | bool) else one
        for one in values
    ]
