"""What the tables of `bench` share."""

from rich import box
from rich.table import Table


def bench_table(*columns: str) -> Table:
    """Return an empty table; the first column folds, the others are numbers."""
    table = Table(box=box.SIMPLE, pad_edge=False, collapse_padding=True)
    table.add_column(columns[0], overflow="fold")
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def tail(name: str, room: int) -> str:
    """Shorten a name to a column; the end is kept, which tells more than the beginning."""
    return name if len(name) <= room else f"…{name[1 - room :]}"
