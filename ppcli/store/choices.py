"""The choices of this stop, apart from the code that needs Arrow: `--help` shows them."""

from enum import StrEnum


class Format(StrEnum):
    """How rows are written to standard output."""

    JSONL = "jsonl"
    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"
