"""Finds the rows that a damaged file of a dataset affects."""

import pyarrow as pa
import pyarrow.parquet as pq

from ppcli.store.places.place import Place
from ppcli.store.rows import OK, PATCHES
from ppcli.store.shards import Shard

Span = tuple[int, int]

# pyarrow decodes names of columns itself: damaged ones may not be UTF-8
_UNREADABLE = (OSError, pa.ArrowException, UnicodeDecodeError)


def affected_rows(
    files: dict[str, Place], kind: str, main_kind: str, shard: Shard, rows_before: int
) -> str:
    """Describe the rows of a changed file that may be wrong, counted from 1.

    These are the rows of each row group with a wrong page checksum. If all checksums match, the
    change is in the metadata and may affect any row.

    Args:
        files: the files of the shard, by kind.
        kind: kind of the rows in the changed file.
        main_kind: kind of the rows that every input has.
        shard: record of the shard in the manifest.
        rows_before: number of main rows in the shards before it.
    """
    rows = shard.patch_sets if kind == PATCHES else shard.rows
    spans = _unreadable_spans(files[kind], rows)
    names = _image_ids(files[main_kind], kind)
    if not spans and rows:
        words = _describe((0, rows), kind, rows_before, names)
        return f"{words}, whose checksums match; the metadata of the file has changed"
    return ", ".join(_describe(span, kind, rows_before, names) for span in spans) or "no row"


def _unreadable_spans(path: Place, rows: int) -> list[Span]:
    """Return spans (first, end) of unreadable row groups; all rows if the footer is unreadable."""
    spans: list[Span] = []
    try:
        with (
            path.open() as raw,
            pq.ParquetFile(raw, page_checksum_verification=True) as file,
        ):
            start = 0
            for group in range(file.num_row_groups):
                end = start + file.metadata.row_group(group).num_rows
                if not _is_readable(file, group):
                    spans.append((start, end))
                start = end
            if start != rows:
                return [(0, rows)]
    except _UNREADABLE:
        return [(0, rows)]
    return spans


def _is_readable(file: pq.ParquetFile, group: int) -> bool:
    try:
        file.read_row_group(group)
    except _UNREADABLE:
        return False
    return True


def _image_ids(main_path: Place, kind: str) -> list[str]:
    """Return the image_ids of the rows of a file; none if the main rows are unreadable."""
    try:
        with main_path.open() as raw:
            table = pq.read_table(
                raw, columns=["image_id", "status"], page_checksum_verification=True
            )
    except _UNREADABLE:
        return []
    rows = zip(table["image_id"].to_pylist(), table["status"].to_pylist(), strict=True)
    return [name for name, status in rows if kind != PATCHES or status == OK]


def _describe(span: Span, kind: str, rows_before: int, names: list[str]) -> str:
    first, end = span
    if kind != PATCHES:
        words = f"rows {rows_before + first + 1:,} to {rows_before + end:,}"
    else:
        words = f"patch sets {first + 1:,} to {end:,} of this file"
    return f"{words} ({names[first]} to {names[end - 1]})" if end <= len(names) else words
