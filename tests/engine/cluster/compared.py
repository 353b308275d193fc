"""Runs of `analyze` on a cluster, compared with those of one machine."""

import os
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ppcli import api
from ppcli.engine.engine_options import Engine, EngineOptions
from ppcli.engine.worker_options import WorkerOptions
from ppcli.imaging.image_choices import Frames
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.jobs.analyze import AnalyzeSummary
from ppcli.jobs.run_control import RunResult
from ppcli.store.manifest import Manifest
from ppcli.store.output_options import GrowingOutputOptions
from ppcli.store.places.place import JOURNAL
from ppcli.store.shards import shard_name, staged_name
from ppcli.store.verify import verify
from tests.engine import batches
from tests.imaging.pdfs import Page, pdf

CLUSTER = EngineOptions(Engine.RAY)
LOCAL = EngineOptions()
ALL_PAGES = ReadingOptions(Frames.ALL)


def analyze(
    inputs: Path | str | Iterable[Path | str],
    out: Path | str,
    engine: EngineOptions = CLUSTER,
    *,
    rows_per_shard: int = 3,
    output: dict[str, Any] | None = None,
    **options: Any,
) -> RunResult[Any]:
    """Analyze all pages of some files into a dataset, each task in the process of its worker."""
    target = GrowingOutputOptions(os.fspath(out), rows_per_shard=rows_per_shard, **(output or {}))
    settings = {"reading": ALL_PAGES, "workers": WorkerOptions(0)} | options
    return api.analyze(inputs, output=target, engine=engine, **settings)


def mixed(folder: Path) -> Path:
    """Make a folder of nine files with one and with many pages, some of them broken."""
    folder.mkdir()
    pages = batches.encoded("TIFF", *range(5))
    files = {
        "a.png": batches.encoded("PNG", 0),
        "b-pages.tif": pages,
        "c-pages.pdf": pdf([Page(), Page(), Page(), Page()]),
        "d-truncated.png": batches.encoded("PNG", 1)[:150],
        "e-empty.png": b"",
        "f-frames.gif": batches.encoded("GIF", *range(3)),
        "g.jpg": batches.encoded("JPEG", 2, quality=80),
        "h-text.png": b"this is no image",
        "i-pages-truncated.tif": pages[: len(pages) * 2 // 3],
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def rows_of(out: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the statistics with kept columns, without times, and the patch sets."""
    rows = [row for path in sorted((out / "stats").iterdir()) for row in _rows(path)]
    patches = [row for path in sorted((out / "patches").iterdir()) for row in _rows(path)]
    return rows, patches


def _rows(path: Path) -> list[dict[str, Any]]:
    assert path.suffix == ".parquet", path
    rows = pq.ParquetFile(path).read().to_pylist()
    return [{name: one for name, one in row.items() if name[-3:] != "_ms"} for row in rows]


def assert_whole(out: Path) -> None:
    """The dataset is finished and undamaged, and there is nothing else in its folder."""
    report = verify(str(out), data=True)
    assert (report.damage, report.leftovers, report.finished) == ([], 0, True)
    names = {path.name for path in out.iterdir()}
    assert names - {"stats", "patches", ".lock"} == {"manifest.json"}
    assert b"staged" not in (out / "manifest.json").read_bytes()


def assert_no_litter(out: Path) -> None:
    """The folder of an unfinished dataset has only files that its manifest names."""
    manifest = Manifest.read(str(out))
    named = {shard_name(number) for number in range(len(manifest.shards))}
    named |= {staged_name(one.token) for one in manifest.staged}
    for kind in manifest.kinds:
        assert {path.name for path in (out / kind).iterdir()} == named
    names = {path.name for path in out.iterdir()}
    assert names - {*manifest.kinds, ".lock", JOURNAL} == {"manifest.json"}


def assert_same(out: Path, expected: Path) -> None:
    """The dataset is whole, and its rows are those of another one, in order."""
    assert_whole(out)
    found, right = rows_of(out), rows_of(expected)
    names = [[row["image_id"] for row in rows] for rows in (found[0], right[0])]
    assert names[0] == names[1]
    assert found == right


def totals(summary: AnalyzeSummary) -> dict[str, Any]:
    """Return the totals of a run, without times."""
    public = [one.name for one in fields(summary) if one.name[0] != "_"]
    found = {name: getattr(summary, name) for name in public if name != "seconds"}
    for name in ("keep_ratios", "unique_ratios"):
        found[name] = [found[name].percentile(percent) for percent in range(0, 101, 5)]
    return found
