"""The columns of data sets that `--keep-columns` keeps: which there are, and their types."""

import json
from collections.abc import Collection, Iterable
from contextlib import closing
from typing import Any

import pyarrow as pa

from ppcli.errors import ImageError, UsageError, bounded, did_you_mean
from ppcli.files import InputFile
from ppcli.inputs.containers.container_kinds import ContainerKind, container_kind
from ppcli.inputs.containers.member_choice import EVERY_COLUMN, column_names, is_kept
from ppcli.inputs.containers.parquet_columns import HUGGING_FACE, features_of
from ppcli.inputs.containers.parquet_rows import open_parquet_file
from ppcli.inputs.containers.tar_samples import sample_schema

_WIDER = (  # kinds of types of which the merged one takes all values
    (pa.types.is_floating, pa.types.is_floating),
    (pa.types.is_decimal, pa.types.is_decimal),
    (pa.types.is_large_string, pa.types.is_string),
    (pa.types.is_large_binary, pa.types.is_binary),
    (pa.types.is_binary, pa.types.is_fixed_size_binary),
)


def kept_of(schema: pa.Schema, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns of one file that are kept, in the order of the file."""
    return tuple(name for name in schema.names if is_kept(name, names))


def kept_schema(files: Iterable[InputFile], names: tuple[str, ...]) -> pa.Schema:
    """Return the kept columns of Parquet files and tar archives, before any row is read.

    A column has a type that takes the values of all files. The metadata has the features of
    `datasets` for them, if the files have such metadata. Files that cannot be read have no columns.

    Args:
        files: Parquet files and tar archives; of an archive, the first sample tells the columns.
        names: of the columns; `*` for all.

    Raises:
        UsageError: no file has a column of a name, or two files have it in types without a
            common one.
    """
    fields: dict[str, pa.Field] = {}
    places: dict[str, str] = {}
    features: dict[str, Any] = {}
    known: dict[str, None] = {}
    for file in files:
        if _is_known(file, names, fields):
            continue
        schema = _schema_of(file)
        known.update(dict.fromkeys(schema.names))
        for name in kept_of(schema, names):
            if schema.names.count(name) > 1:
                raise UsageError(
                    f"--keep-columns {bounded(name)}: {bounded(file.name)} has two columns of this "
                    "name; name the columns to keep one by one"
                )
            field = schema.field(name).with_nullable(True).remove_metadata()
            before = fields.setdefault(name, field)
            fields[name] = _common(before, field)
            if fields[name] is None:
                raise UsageError(
                    f"--keep-columns {bounded(name)}: it is {bounded(str(before.type))} in "
                    f"{bounded(places[name])}, but {bounded(str(field.type))} in "
                    f"{bounded(file.name)}"
                )
            places.setdefault(name, file.name)
            features.setdefault(name, features_of(schema).get(name))
    for name in column_names(tuple(one for one in names if one not in fields)):
        if name not in fields and name != EVERY_COLUMN:
            there = f"there are {bounded(', '.join(known))}" if known else "no data set has columns"
            raise UsageError(
                f"--keep-columns {bounded(name)}: there is no such column; {there}"
                f"{did_you_mean(name, known)}"
            )
    found = {name: feature for name, feature in features.items() if feature is not None}
    metadata = {HUGGING_FACE: json.dumps({"info": {"features": found}})} if found else None
    return pa.schema(list(fields.values()), metadata)


def _common(one: pa.Field, other: pa.Field) -> pa.Field | None:
    """Return a field whose type takes the values of both, such as 64 bits for 32; None without."""
    try:
        both = [pa.schema([one]), pa.schema([other])]
        merged = pa.unify_schemas(both, promote_options="permissive").field(0)
    except pa.ArrowException:
        return None
    return merged if _holds(merged.type, one.type) and _holds(merged.type, other.type) else None


def _holds(wide: pa.DataType, narrow: pa.DataType) -> bool:
    """Return whether each value of a type has an equal one in a type that may be wider."""
    if wide == narrow or pa.types.is_null(narrow):
        return True
    if pa.types.is_struct(wide) and pa.types.is_struct(narrow):
        return all(_holds(wide.field(one.name).type, one.type) for one in narrow.fields)
    if _is_list(wide) and _is_list(narrow):
        return _holds(wide.value_type, narrow.value_type)
    if pa.types.is_integer(wide) and pa.types.is_integer(narrow):
        unsigned = pa.types.is_unsigned_integer(narrow) and pa.types.is_signed_integer(wide)
        return bool(wide.bit_width >= narrow.bit_width + unsigned)
    return any(is_wide(wide) and is_narrow(narrow) for is_wide, is_narrow in _WIDER)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_known(file: InputFile, names: tuple[str, ...], fields: Collection[str]) -> bool:
    """Return whether a tar archive need not be opened, as its columns have fixed types."""
    is_tar = container_kind(file.name) is not ContainerKind.PARQUET
    return is_tar and EVERY_COLUMN not in names and set(column_names(names)) <= set(fields)


def _schema_of(file: InputFile) -> pa.Schema:
    kind = container_kind(file.name)
    try:
        if kind is not None and kind is not ContainerKind.PARQUET:
            return sample_schema(file, kind)
        with closing(open_parquet_file(file)) as opened:
            return opened.file.schema_arrow
    except ImageError:  # an error row, once the run comes to it
        return pa.schema([])
