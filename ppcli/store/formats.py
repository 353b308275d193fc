"""Output formats and defaults. Imports no Arrow, because `--help` shows them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

Config = dict[str, Any]
Kept = Mapping[str, Any]  # values of columns that travel with a row, as Arrow scalars

# settings of a configuration
KEEP_COLUMNS, ANSWER_COLUMN, SETTINGS = "keep_columns", "answer_column", "settings"

ROWS_PER_SHARD = 10_000
ANSWERS_PER_SHARD = 100  # each takes seconds, and an unfinished shard is lost by a crash
SCORES_PER_SHARD = 1_000
ZSTD_LEVEL = 3  # of the tiles of patch sets
MOST_ZSTD_LEVEL = 22


class Format(StrEnum):
    """Format of rows in a single file or on standard output."""

    JSONL = "jsonl"
    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"
    OPENAI = "openai"


class TableFormat(StrEnum):
    """The formats that take rows of any kind; `openai` takes answers only."""

    JSONL = "jsonl"
    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"
