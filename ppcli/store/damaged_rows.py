"""Which rows a damaged file of a dataset takes with it."""

import pyarrow as pa
import pyarrow.parquet as pq

from ppcli.store.manifest import Shard, shard_path
from ppcli.store.reader import open_native
from ppcli.store.rows import OK, PATCHES

Span = tuple[int, int]

# pyarrow decodes names of columns itself: damaged ones may not be UTF-8
_UNREADABLE = (OSError, pa.ArrowException, UnicodeDecodeError)


def affected_rows(
    root: str, kind: str, main_kind: str, number: int, shard: Shard, rows_before: int
) -> str:
    """Words for the rows of a changed file that cannot be trusted, counted from 1.

    Where pages have wrong checksums these are the rows of their row groups. Otherwise the
    change lies in what describes the pages, and may touch any row.

    Args:
        root: the dataset folder.
        kind: of the rows in the file.
        main_kind: of the rows that every input has.
        number: of the shard.
        shard: what the manifest says of it.
        rows_before: rows of the main kind in earlier shards.
    """
    rows = shard.patch_sets if kind == PATCHES else shard.rows
    spans = _unreadable_spans(shard_path(root, kind, number), rows)
    names = _names(shard_path(root, main_kind, number), kind)
    if not spans and rows:
        words = _words((0, rows), kind, rows_before, names)
        return f"{words}, whose data pass their checksums while what describes them has changed"
    return ", ".join(_words(span, kind, rows_before, names) for span in spans) or "no row"


def _unreadable_spans(path: str, rows: int) -> list[Span]:
    """Spans (first, end) of the row groups that cannot be read; all rows without a footer."""
    spans: list[Span] = []
    try:
        with (
            open_native(path) as raw,
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


def _names(main_path: str, kind: str) -> list[str]:
    """The image_ids of the rows of a kind of file, as far as the main rows can be read."""
    try:
        with open_native(main_path) as raw:
            table = pq.read_table(
                raw, columns=["image_id", "status"], page_checksum_verification=True
            )
    except _UNREADABLE:
        return []
    rows = zip(table["image_id"].to_pylist(), table["status"].to_pylist(), strict=True)
    return [name for name, status in rows if kind != PATCHES or status == OK]


def _words(span: Span, kind: str, rows_before: int, names: list[str]) -> str:
    first, end = span
    if kind != PATCHES:
        words = f"rows {rows_before + first + 1:,} to {rows_before + end:,}"
    else:
        words = f"patch sets {first + 1:,} to {end:,} of this file"
    return f"{words} ({names[first]} to {names[end - 1]})" if end <= len(names) else words
