"""Whether a dataset, or one file of it, still holds what it held."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ppcli.errors import DamagedError, ErrorCode, ImageError, UsageError
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.store.atomic import TEMPORARY_SUFFIX
from ppcli.store.completeness import PageCheck
from ppcli.store.damaged_rows import affected_rows
from ppcli.store.formats import Config
from ppcli.store.journal import read_journal
from ppcli.store.manifest import JOURNAL, Manifest, Shard, shard_path
from ppcli.store.patch_codec import from_patch_row
from ppcli.store.reader import is_parquet, read_metadata, read_patch_rows, read_rows, shard_record
from ppcli.store.rows import ERROR, OK, PATCHES, AnswerRow, MainRow, PatchRow, ScoreRow, StatsRow
from ppcli.store.shard_writer import NEW_SUFFIX

Columns = dict[str, Any]
_COMPARED = ("image_id", "status", "kept", "tokens")


@dataclass(slots=True)
class VerifyReport:
    """What was checked, and what was found.

    Attributes:
        files: checked.
        rows: of statistics or answers.
        patch_sets: checked.
        rasters: rebuilt and compared.
        damage: one sentence each; empty when all is well.
        leftovers: files of a run that was killed, or is at work; resuming removes them.
        finished: false for a dataset whose run has not come to its end.
        most_pixels: of a raster; larger ones are faults, since nobody can look at them.
    """

    files: int = 0
    rows: int = 0
    patch_sets: int = 0
    rasters: int = 0
    damage: list[str] = field(default_factory=list)
    leftovers: int = 0
    finished: bool = True
    most_pixels: int = DEFAULT_MAX_IMAGE_PIXELS

    @contextmanager
    def noting(self, place: str = "") -> Iterator[None]:
        """Turn a fault of the block into a line of the report."""
        try:
            yield
        except (DamagedError, ImageError) as error:
            self.damage.append(f"{place}: {error}" if place else str(error))


def verify(
    path: str, data: bool = False, most_pixels: int = DEFAULT_MAX_IMAGE_PIXELS
) -> VerifyReport:
    """Check a dataset folder or one Parquet file of ours.

    In a dataset every byte of every file counts. Then page checksums, schemas, the numbers of
    rows, and whether the columns agree with one another; with `data`, every raster is rebuilt
    and its digest compared; of none that has more than `most_pixels`, which is a fault.

    Raises:
        UsageError: when there is nothing of ours at the path.
    """
    report = VerifyReport(most_pixels=most_pixels)
    if os.path.isdir(path):
        _verify_dataset(path, data, report)
    elif os.path.isfile(path):
        _verify_file(path, data, report)
    else:
        raise UsageError(f"{path}: no such dataset or file")
    return report


def _verify_file(path: str, data: bool, report: VerifyReport) -> None:
    if not is_parquet(path):
        raise UsageError(f"{path}: only dataset folders and .parquet files can be verified")
    with report.noting():
        kind = read_metadata(path).kind
        if kind == PATCHES:
            _verify_patches(path, data, None, report)
        else:
            _verify_rows(path, kind, None, report)


def _verify_dataset(root: str, data: bool, report: VerifyReport) -> None:
    try:
        report.leftovers += read_journal(os.path.join(root, JOURNAL)).torn
        manifest = Manifest.read(root)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{root}: there is no dataset here") from None
    except DamagedError as error:
        report.damage.append(str(error))
        return
    report.finished = manifest.finished
    rows_before = 0
    for number, shard in enumerate(manifest.shards):
        changed = {
            kind: record.change(shard_path(root, kind, number))
            for kind, record in shard.files.items()
        }
        for kind, change in changed.items():
            if change:
                path = shard_path(root, kind, number)
                rows = affected_rows(root, kind, manifest.main_kind, number, shard, rows_before)
                report.damage.append(f"{path} {change}; affected: {rows}")
        if any(changed.values()):
            report.files += len(shard.files)
        else:
            _verify_shard(root, number, shard, manifest, data, report)
        rows_before += shard.rows
    _find_strangers(root, manifest, report)


def _verify_shard(
    root: str, number: int, shard: Shard, manifest: Manifest, data: bool, report: VerifyReport
) -> None:
    rows: Columns | None = None
    path = shard_path(root, manifest.main_kind, number)
    with report.noting():
        rows = _verify_rows(path, manifest.main_kind, manifest.config, report)
        if len(rows["status"]) != shard.rows:
            raise DamagedError(
                f"{path} has {len(rows['status'])} rows, and the manifest says {shard.rows}"
            )
        if shard_record(path, manifest.config).counts != shard.counts:
            raise DamagedError(f"{path} counts otherwise than the manifest")
    if manifest.has_patches:
        path = shard_path(root, PATCHES, number)
        with report.noting():
            _verify_patches(path, data, rows, report, manifest.config, shard.patch_sets)


def _verify_rows(path: str, kind: str, config: Config | None, report: VerifyReport) -> Columns:
    """Check one file of main rows; gives back the columns that patch sets must agree with."""
    report.files += 1
    columns: Columns = {name: [] for name in _COMPARED}
    check, before = PageCheck(read_metadata(path).config), None
    for row in read_rows(path, kind, config):
        report.rows += 1
        if before is not None and row.begins_input(before):
            _note_missing(path, before, check, report)
        check.add(row)
        before = row
        with report.noting(f"{path}, {row.image_id}"):
            _check_row(row)
        for name, values in columns.items():
            values.append(getattr(row, name))
    if before is not None:
        _note_missing(path, before, check, report)
    return columns


def _note_missing(path: str, last: MainRow, check: PageCheck, report: VerifyReport) -> None:
    if missing := check.missing():
        advice = "the same command does the file again"
        report.damage.append(f"{path}, {last.image_id}: {missing}; {advice}")


def _check_row(row: MainRow) -> None:
    if row.status == ERROR:
        if row.error_code not in list(ErrorCode) or not row.error_message:
            raise DamagedError(f"unknown error code {row.error_code!r}")
    elif row.status != OK:
        raise DamagedError(f"unknown status {row.status!r}")
    elif isinstance(row, AnswerRow):
        if row.answer is None or row.finish_reason is None:
            raise DamagedError("the answer is missing")
    elif isinstance(row, ScoreRow):
        if row.answer is None or None in (row.exact, row.anls, row.relaxed):
            raise DamagedError("the answer or its scores are missing")
    else:
        _check_statistics(row)


def _check_statistics(row: StatsRow) -> None:
    tokens, kept, unique = row.tokens, row.kept, row.unique
    if tokens is None or kept is None or unique is None:
        raise DamagedError("the counts are missing")
    if row.grid_h is None or row.grid_w is None or tokens != row.grid_h * row.grid_w:
        raise DamagedError("tokens do not agree with the grid")
    if not (0 < kept <= tokens and 0 < unique <= tokens):
        raise DamagedError(f"{kept} kept and {unique} unique of {tokens} tokens")
    if row.keep_ratio != kept / tokens or row.unique_ratio != unique / tokens:
        raise DamagedError("the ratios do not agree with the counts")


def _verify_patches(
    path: str,
    data: bool,
    stats: Columns | None,
    report: VerifyReport,
    config: Config | None = None,
    expected: int | None = None,
) -> None:
    report.files += 1
    described = _ok_rows(stats) if stats is not None else None
    count = 0
    for row in read_patch_rows(path, config=config):
        count += 1
        report.patch_sets += 1
        with report.noting(f"{path}, {row.image_id}"):
            if described is not None:
                _check_agreement(row, next(described, None))
            stored = from_patch_row(row, report.most_pixels)
            if data:
                stored.raster()
                report.rasters += 1
    missing = sum(1 for _ in described) if described is not None else 0
    if missing or (expected is not None and count != expected):
        raise DamagedError(f"{path} has {count} patch sets, and there should be {expected}")


def _ok_rows(stats: Columns) -> Iterator[tuple[str, int, int]]:
    columns = zip(*(stats[k] for k in ("status", "image_id", "kept", "tokens")), strict=True)
    return ((name, kept, tokens) for status, name, kept, tokens in columns if status == OK)


def _check_agreement(row: PatchRow, described: tuple[str, int, int] | None) -> None:
    bits = np.unpackbits(np.frombuffer(row.keep, dtype=np.uint8))
    if described != (row.image_id, int(bits.sum()), row.grid_h * row.grid_w):
        raise DamagedError(f"the statistics at this place say {described}")


def _find_strangers(root: str, manifest: Manifest, report: VerifyReport) -> None:
    """Files in the folders of the dataset that the manifest does not know."""
    number = len(manifest.shards)
    for kind in {PATCHES, *manifest.kinds}:
        folder = os.path.join(root, kind)
        known = {os.path.basename(shard_path(root, kind, n)) for n in range(number)}
        unfinished = os.path.basename(shard_path(root, kind, number))
        try:
            found = set(os.listdir(folder))
        except FileNotFoundError:
            continue
        except OSError as error:
            report.damage.append(f"{folder} cannot be listed: {error.strerror}")
            continue
        for name in sorted(found - known):
            if name.endswith((TEMPORARY_SUFFIX, NEW_SUFFIX)) or name == unfinished:
                report.leftovers += 1
            else:
                report.damage.append(f"{os.path.join(folder, name)} is not part of the dataset")
