"""Verifies one shard of a dataset, or one Parquet file."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ppcli.errors import DamagedError, ErrorCode, ImageError
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.store.completeness import PageCheck
from ppcli.store.damaged_rows import affected_rows
from ppcli.store.formats import Config
from ppcli.store.frame_rows import read_frame_rows
from ppcli.store.manifest import Manifest
from ppcli.store.places.place import Place
from ppcli.store.reader import (
    read_metadata,
    read_rows_with_kept,
    shard_record,
)
from ppcli.store.rows import ERROR, OK, PATCHES, AnswerRow, MainRow, PatchRow, ScoreRow, StatsRow
from ppcli.store.shards import FileRecord, Shard

Columns = dict[str, Any]
_Described = tuple[str, int, int, int | None]
_COMPARED = ("image_id", "status", "kept", "tokens", "kept_intra")


@dataclass(slots=True)
class VerifyReport:
    """Result of a verification.

    Attributes:
        files: number of files checked.
        rows: number of rows of statistics, answers or scores checked.
        patch_sets: number of patch sets checked.
        rasters: number of rasters rebuilt and compared.
        damage: a sentence for each finding; empty if the dataset is undamaged.
        leftovers: number of files of a killed or running run; resuming deletes them.
        finished: false if the run of the dataset has not ended.
        max_image_pixels: most pixels of a raster; larger ones count as damage, because they are
            not read.
    """

    files: int = 0
    rows: int = 0
    patch_sets: int = 0
    rasters: int = 0
    damage: list[str] = field(default_factory=list)
    leftovers: int = 0
    finished: bool = True
    max_image_pixels: int = DEFAULT_MAX_IMAGE_PIXELS

    def merge(self, other: "VerifyReport") -> None:
        """Add the counts and the damage of a part that was checked by itself."""
        self.files += other.files
        self.rows += other.rows
        self.patch_sets += other.patch_sets
        self.rasters += other.rasters
        self.damage += other.damage
        self.leftovers += other.leftovers

    @contextmanager
    def collect_damage(self, subject: str = "") -> Iterator[None]:
        """Add an error of the block to the report."""
        try:
            yield
        except (DamagedError, ImageError) as error:
            self.damage.append(f"{subject}: {error}" if subject else str(error))


@dataclass(frozen=True, slots=True)
class VerifyShard:
    """The verification of one shard. It can be pickled, and carried out on any machine.

    Attributes:
        root: the dataset folder.
        names: what its files may be called: the first name, or what a killed run left.
        shard: its record.
        rows_before: number of main rows in the shards before it.
        config: configuration of the dataset.
        data: also rebuild each raster and compare its digest.
        max_image_pixels: most pixels of a raster; larger ones count as damage.
    """

    root: Place
    names: tuple[str, ...]
    shard: Shard
    rows_before: int
    config: Config
    data: bool
    max_image_pixels: int

    def run(self) -> VerifyReport:
        """Compare the files with the record, and their content with one another."""
        report = VerifyReport(max_image_pixels=self.max_image_pixels)
        manifest = Manifest(self.config)
        with ExitStack() as stack:
            files = {
                kind: stack.enter_context(self._current(self.root / kind, record).near())
                for kind, record in self.shard.files.items()
            }
            _verify_shard(files, self.shard, self.rows_before, manifest, self.data, report)
        return report

    def _current(self, folder: Place, record: FileRecord) -> Place:
        """Return the file of a record, also if a crash came before it got its name."""
        for other in self.names[1:]:
            file = folder / other
            if file.is_file() and not record.difference(file):
                return file
        return folder / self.names[0]


def _verify_shard(
    files: dict[str, Place],
    shard: Shard,
    rows_before: int,
    manifest: Manifest,
    data: bool,
    report: VerifyReport,
) -> None:
    """Compare the files of a shard with its record, then their content."""
    differences = {kind: record.difference(files[kind]) for kind, record in shard.files.items()}
    for kind, difference in differences.items():
        if difference:
            rows = affected_rows(files, kind, manifest.main_kind, shard, rows_before)
            report.damage.append(f"{files[kind]} {difference}; affected: {rows}")
    if any(differences.values()):
        report.files += len(shard.files)
    else:
        _verify_content(files, shard, manifest, data, report)


def _verify_content(
    files: dict[str, Place], shard: Shard, manifest: Manifest, data: bool, report: VerifyReport
) -> None:
    rows: Columns | None = None
    path = files[manifest.main_kind]
    with report.collect_damage():
        rows = verify_rows(path, manifest.main_kind, manifest.config, report)
        if len(rows["status"]) != shard.rows:
            raise DamagedError(f"{path} has {len(rows['status'])} rows instead of {shard.rows}")
        if shard_record(path, manifest.config).counts != shard.counts:
            raise DamagedError(f"the counts in {path} differ from those in the manifest")
    if manifest.has_patches:
        with report.collect_damage():
            verify_patches(files[PATCHES], data, rows, report, manifest.config, shard.patch_sets)


def verify_rows(path: Place, kind: str, config: Config | None, report: VerifyReport) -> Columns:
    """Check a file of main rows; return the columns to compare patch sets with."""
    report.files += 1
    columns: Columns = {name: [] for name in _COMPARED}
    check, before = PageCheck(read_metadata(path).config), None
    for row, _ in read_rows_with_kept(path, kind, config):
        report.rows += 1
        if before is not None and row.begins_input(before):
            _note_missing(path, before, check, report)
        check.add(row)
        before = row
        with report.collect_damage(f"{path}, {row.image_id}"):
            _check_row(row)
        for name, values in columns.items():
            values.append(getattr(row, name, None))
    if before is not None:
        _note_missing(path, before, check, report)
    return columns


def _note_missing(path: Place, last: MainRow, check: PageCheck, report: VerifyReport) -> None:
    if missing := check.missing():
        advice = "run the same command to process the file again"
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
        raise DamagedError("the number of tokens differs from the size of the grid")
    if row.kept_intra is not None and not kept <= row.kept_intra <= tokens:
        raise DamagedError(f"impossible counts: {kept} kept, {row.kept_intra} by themselves")
    if not (0 < kept <= tokens and 0 < unique <= tokens):
        raise DamagedError(f"impossible counts: {kept} kept and {unique} unique of {tokens} tokens")
    if row.keep_ratio != kept / tokens or row.unique_ratio != unique / tokens:
        raise DamagedError("the ratios differ from the counts")


def verify_patches(
    path: Place,
    data: bool,
    stats: Columns | None,
    report: VerifyReport,
    config: Config | None = None,
    expected: int | None = None,
) -> None:
    """Check a file of patch sets.

    Args:
        path: the file.
        data: also rebuild each raster and compare its digest.
        stats: columns of its main rows to compare with; None for none.
        report: receives counts and damage.
        config: configuration that it must have; None accepts any.
        expected: how many patch sets it must have; None accepts any number.

    Raises:
        DamagedError: it is unreadable, or has another number of patch sets.
    """
    report.files += 1
    described = _ok_rows(stats) if stats is not None else None
    count = 0
    for frame in read_frame_rows(path, config=config):
        row = frame.row
        count += 1
        report.patch_sets += 1
        with report.collect_damage(f"{path}, {row.image_id}"):
            if described is not None:
                _check_agreement(row, next(described, None))
            stored = frame.stored(report.max_image_pixels)
            if data:
                stored.raster()
                report.rasters += 1
    missing = sum(1 for _ in described) if described is not None else 0
    if missing or (expected is not None and count != expected):
        raise DamagedError(f"{path} has {count} patch sets instead of {expected}")


def _ok_rows(stats: Columns) -> Iterator[_Described]:
    names = ("status", "image_id", "kept", "tokens", "kept_intra")
    columns = zip(*(stats[name] for name in names), strict=True)
    return (
        (name, kept, tokens, intra) for status, name, kept, tokens, intra in columns if status == OK
    )


def _check_agreement(row: PatchRow, described: _Described | None) -> None:
    kept = _ones(row.keep)
    intra = None
    if described is not None and described[3] is not None:
        intra = kept + _ones(row.unchanged or b"")
    if described != (row.image_id, kept, row.grid_h * row.grid_w, intra):
        raise DamagedError(
            f"the statistics have (image_id, kept, tokens, kept_intra) = {described} in this place"
        )


def _ones(packed: bytes) -> int:
    return int(np.unpackbits(np.frombuffer(packed, dtype=np.uint8)).sum())
