"""The choices of this stop, apart from the code that needs Arrow: `--help` shows them."""

from enum import StrEnum

ROWS_PER_SHARD = 10_000


class Format(StrEnum):
    """How rows are written to standard output."""

    JSONL = "jsonl"
    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"
