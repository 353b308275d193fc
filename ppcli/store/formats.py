"""The choices of this stop, apart from the code that needs Arrow: `--help` shows them."""

from enum import StrEnum
from typing import Any

Config = dict[str, Any]

ROWS_PER_SHARD = 10_000


class Format(StrEnum):
    """How rows are written to one file, or to standard output."""

    JSONL = "jsonl"
    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"
    OPENAI = "openai"


class StatsFormat(StrEnum):
    """Those among them that statistics can be written in."""

    JSONL = "jsonl"
    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"
