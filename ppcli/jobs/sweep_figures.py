"""The figures of a report about a sweep."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ppcli.coding.coder_options import AUTO
from ppcli.errors import DamagedError, NothingToDoError
from ppcli.jobs.report import failure_groups
from ppcli.show.report_data import SweepData, SweptSetting
from ppcli.store.formats import Config
from ppcli.store.manifest import Manifest
from ppcli.store.places.place import Place
from ppcli.store.reader import is_single_file, open_parquet, read_metadata
from ppcli.store.rows import OK, SWEEP
from ppcli.store.shards import shard_path

_NAMES = ["method", "metric", "asked"]
_COLUMNS = [*_NAMES, "format", "threshold", "tokens", "kept", "keep_ratio", "code_ms"]
_FORMATS = 6
_LEVELS = 255


def sweep_figures(dataset: Place) -> SweepData:
    """Compute the figures of a sweep.

    Args:
        dataset: a folder or a Parquet file that `sweep` wrote.

    Raises:
        NothingToDoError: it has no finished shard.
        DamagedError: a file of it is unreadable.
    """
    source = _source_of(dataset)
    if not source.paths:
        raise NothingToDoError(
            f"{dataset} has no finished rows; run the same sweep command to continue"
        )
    rows = pa.concat_tables(_tables(source.paths))
    is_good = pc.equal(rows["status"], OK)
    good = rows.filter(is_good)
    by_setting = list(_by_setting(good))
    counted = by_setting[0]["format"].value_counts().to_pylist() if by_setting else []
    counts = [(one["values"], one["counts"]) for one in counted]
    formats = sorted(counts, key=lambda one: (-one[1], one[0]))[:_FORMATS]
    failures = list(failure_groups(_failures(rows.filter(pc.invert(is_good)))))
    return SweepData(
        name=str(dataset),
        config=_words(source),
        finished=source.finished,
        images=by_setting[0].num_rows if by_setting else 0,
        failed=sum(one.number for one in failures),
        tokens=int(pc.sum(by_setting[0]["tokens"]).as_py()) if by_setting else 0,
        settings=[_setting(table, [name for name, _ in formats]) for table in by_setting],
        formats=formats,
        failures=failures,
    )


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    config: Config
    version: str
    finished: bool
    paths: list[Place]


def _source_of(place: Place) -> _Source:
    if is_single_file(place):
        metadata = read_metadata(place)
        return _Source(str(place), metadata.config, metadata.version, True, [place])
    manifest = Manifest.read(place)
    paths = [shard_path(place, SWEEP, number) for number in range(len(manifest.shards))]
    return _Source(str(place), manifest.config, manifest.version, manifest.finished, paths)


def _words(source: _Source) -> str:
    try:
        mode, fit = source.config["mode"], source.config["fit"]
    except KeyError as error:
        raise DamagedError(f"{source.name}: its configuration lacks {error}") from None
    return f"sweep, {mode}, fit {fit}, pixelprune {source.version}"


def _tables(paths: list[Place]) -> Iterator[pa.Table]:
    for path in paths:
        with open_parquet(path, SWEEP) as file:
            yield file.read(columns=[*_COLUMNS, "status", "error_code", "error_message"])


def _by_setting(rows: pa.Table) -> Iterator[pa.Table]:
    """Yield the rows of each setting, in the order in which the settings come."""
    names = pc.binary_join_element_wise(*(rows[name] for name in _NAMES), "\0")
    for name in pc.unique(names):
        yield rows.filter(pc.equal(names, name))


def _failures(bad: pa.Table) -> Iterator[pa.Table]:
    """Yield the failures in the first setting: each page fails in all of them."""
    for table in list(_by_setting(bad))[:1]:
        yield table.select(["error_code", "error_message"])


def _setting(rows: pa.Table, formats: list[str]) -> SweptSetting:
    method, metric, asked = (rows[name][0].as_py() for name in _NAMES)
    ratios = rows["keep_ratio"].to_numpy()
    low, middle, high = np.quantile(ratios, (0.1, 0.5, 0.9)).tolist()
    return SweptSetting(
        method=method,
        metric=metric,
        asked=asked,
        levels=None if asked == AUTO else rows["threshold"][0].as_py() * _LEVELS,
        tokens=_sum(rows, "tokens"),
        kept=_sum(rows, "kept"),
        mean=float(np.mean(ratios)),
        percentiles=(low, middle, high),
        milliseconds=float(np.median(rows["code_ms"].to_numpy())),
        shares=[_share(rows.filter(pc.equal(rows["format"], name))) for name in formats],
    )


def _share(rows: pa.Table) -> float:
    return _sum(rows, "kept") / _sum(rows, "tokens")


def _sum(rows: pa.Table, name: str) -> int:
    return int(pc.sum(rows[name]).as_py())
