"""Keep ratios by class of image, from the rows of `pixelprune sweep`.

`python benchmarks/keep_ratios.py SWEEP.parquet` prints the table in Markdown. The class of an image
is the folder that it is in. Choosing a method and a threshold, in the documentation, has figures.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import duckdb
import typer

from ppcli.coding.coder_options import Method

FORMATS = ("PNG", "JPEG")
MEDIANS = """
    SELECT parse_path(path)[-2] AS class, format, method, metric, asked,
           count(*) AS images, median(keep_ratio) AS kept
    FROM read_parquet(?) WHERE status = 'ok' AND page = 1 AND list_contains(?, format)
    GROUP BY ALL
"""


def main(
    sweep: Annotated[Path, typer.Argument(help="The Parquet file of a sweep.")],
) -> None:
    """Print the median keep ratio of each class, format, method and threshold."""
    found = duckdb.execute(MEDIANS, [str(sweep), list(FORMATS)]).fetchall()
    thresholds = sorted({row[4] for row in found}, key=_levels)
    settings = {(row[2], row[3]): None for row in sorted(found, key=_place)}
    kept = {row[:5]: row[6] for row in found}
    names = ["class", "files", "method", "metric", *(f"τ = {one}" for one in thresholds)]
    _echo(names)
    _echo(["---"] * len(names))
    groups = {(row[0], row[1]): row[5] for row in sorted(found, key=_place)}
    for (name, kind), images in groups.items():
        for setting in settings:
            figures = [kept.get((name, kind, *setting, one)) for one in thresholds]
            shown = ["" if one is None else f"{one:.3f}" for one in figures]
            _echo([name, f"{images} {kind}", *setting, *shown])


def _echo(cells: Sequence[str]) -> None:
    typer.echo(f"| {' | '.join(cells)} |")


def _levels(asked: str) -> tuple[bool, float]:
    """Return a key that sorts thresholds: `0`, `4/255`, and `auto` as the last one."""
    if asked == "auto":
        return True, 0.0
    above, _, below = asked.partition("/")
    return False, float(above) / float(below or 1)


def _place(row: tuple) -> tuple[int, str, int, str]:
    name, kind, method, metric = row[:4]
    return FORMATS.index(kind), name, list(Method).index(Method(method)), metric


if __name__ == "__main__":
    typer.run(main)
