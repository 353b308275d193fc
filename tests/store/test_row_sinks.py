"""What is written, read by the libraries that people read it with."""

import csv
import io
import json
from dataclasses import asdict, replace

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ppcli import prune, read_patch_sets
from ppcli.coding.patchset import raster_digest
from ppcli.errors import DamagedError, ExitCode, OutputError, UsageError
from ppcli.files import LocalFile
from ppcli.imaging.image_choices import Fit
from ppcli.inputs.refs import ImageRef
from ppcli.store import row_sinks, table_writers
from ppcli.store.dataset import dataset_output
from ppcli.store.formats import Format
from ppcli.store.patch_codec import to_patch_row
from ppcli.store.rows import PatchRow, StatsRow
from ppcli.store.schema import SCHEMAS, FileMetadata, own_schema
from tests.conftest import blocks

CONFIG = {"patches": True, "threshold": 0.0}
ODD_NAME = 'a "quoted", name\nof two lines\\xff é'


def stats_row(name: str, **changes) -> StatsRow:
    row = StatsRow(
        image_id=name,
        path=f"in/{name}",
        tile=32,
        fit="pad",
        method="pred_2d",
        metric="max",
        mode="anchored",
        threshold=0.0,
        keep_ratio=1 / 3,
    )
    return replace(row, **changes)


def patch_row(name: str, seed: int = 0) -> PatchRow:
    raster = blocks(96, 64, seed=seed)
    return to_patch_row(name, (96, 64), (96, 64), Fit.PAD, prune(raster), raster_digest(raster))


ROWS = [stats_row("a"), stats_row(ODD_NAME, status="error", error_message="x, y")]
# only sequences have the column kept_intra
WRITTEN = [{name: one for name, one in asdict(row).items() if name != "kept_intra"} for row in ROWS]


def stream(row_format: Format) -> bytes:
    data = io.BytesIO()
    with row_sinks.stream_output(data, row_format, CONFIG) as sink:
        for row in ROWS:
            sink.add(row, None)
            sink.end_of_input(ref(row.image_id))
    return data.getvalue()


def test_json_lines() -> None:
    lines = stream(Format.JSONL).splitlines()
    assert [json.loads(line) for line in lines] == WRITTEN


def test_csv() -> None:
    records = list(csv.reader(io.StringIO(stream(Format.CSV).decode(), newline="")))
    assert records[0] == list(WRITTEN[0])
    assert records[2][0] == ODD_NAME
    assert len(records) == 3
    frame = pd.read_csv(io.BytesIO(stream(Format.CSV)))
    assert frame["keep_ratio"].tolist() == [1 / 3, 1 / 3]


def test_arrow_stream() -> None:
    table = pa.ipc.open_stream(stream(Format.ARROW)).read_all()
    assert table.to_pylist() == WRITTEN


def test_parquet_stream() -> None:
    table = pq.read_table(io.BytesIO(stream(Format.PARQUET)))
    assert table.to_pylist() == WRITTEN


def test_an_empty_arrow_stream_is_one() -> None:
    data = io.BytesIO()
    with row_sinks.stream_output(data, Format.ARROW, CONFIG):
        pass
    assert pa.ipc.open_stream(data.getvalue()).read_all().num_rows == 0


def ref(name: str) -> ImageRef:
    return ImageRef(LocalFile(f"in/{name}"), name)


def write_dataset(root, names, config=None, **options) -> None:
    config = CONFIG if config is None else config
    with dataset_output(str(root), config, **options) as sink:
        refs = iter([ref(name) for name in names])
        done = sum(len(shard.inputs) for shard in sink.previous_shards(refs))
        for seed, one in enumerate(refs, done):
            name = one.image_id
            sink.add(stats_row(name), patch_row(name, seed) if config["patches"] else None)
            sink.end_of_input(one)


def test_pyarrow_duckdb_pandas_and_polars_read_a_dataset(tmp_path) -> None:
    write_dataset(tmp_path / "out", ["a", "b", ODD_NAME])
    stats, patches = tmp_path / "out" / "stats", tmp_path / "out" / "patches"
    names = ["a", "b", ODD_NAME]
    assert pq.read_table(stats)["image_id"].to_pylist() == names
    assert pd.read_parquet(stats)["image_id"].tolist() == names
    assert pl.read_parquet(stats)["image_id"].to_list() == names
    query = f"select image_id, octet_length(tiles) from '{patches}/*.parquet'"
    rows = duckdb.sql(query).fetchall()
    assert rows == [(name, len(patch_row(name, seed).tiles)) for seed, name in enumerate(names)]
    counted = duckdb.sql(f"select count(*) from '{stats}/*.parquet' where page = 1").fetchall()
    assert counted == [(3,)]


def test_the_reader_gives_back_patch_sets(tmp_path) -> None:
    write_dataset(tmp_path / "out", ["a", "b", "c"])
    stored = list(read_patch_sets(tmp_path / "out"))
    assert [one.image_id for one in stored] == ["a", "b", "c"]
    for seed, one in enumerate(stored):
        assert np.array_equal(one.raster(), blocks(96, 64, seed=seed))
    assert [one.image_id for one in read_patch_sets(tmp_path / "out", ["c", "x"])] == ["c"]


def test_schemas_metadata_and_checksums_are_in_the_file(tmp_path) -> None:
    write_dataset(tmp_path / "out", ["a"])
    for kind in ("stats", "patches"):
        schema = own_schema(kind, CONFIG)
        path = tmp_path / "out" / kind / "part-00000.parquet"
        found = pq.read_schema(path)
        assert found.equals(schema)
        assert FileMetadata.of(found).config == CONFIG
        assert FileMetadata.of(found).kind == kind
        raw = bytearray(path.read_bytes())
        raw[20] ^= 1
        path.write_bytes(raw)
        with pytest.raises((OSError, pa.ArrowException)):
            pq.ParquetFile(path, page_checksum_verification=True).read()


def test_required_columns_are_not_nullable() -> None:
    assert not SCHEMAS["stats"].field("image_id").nullable
    assert SCHEMAS["stats"].field("kept").nullable
    nullable = {field.name for field in SCHEMAS["patches"] if field.nullable}
    assert nullable == {"choices", "reference", "unchanged"}


def test_large_tiles_carry_no_statistics(tmp_path) -> None:
    write_dataset(tmp_path / "out", ["a"])
    file = pq.ParquetFile(tmp_path / "out" / "patches" / "part-00000.parquet")
    group = file.metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert columns["tiles"].statistics is None
    assert columns["tiles"].compression == "UNCOMPRESSED"
    assert columns["image_id"].statistics is not None


def test_row_groups_are_sized_in_bytes(tmp_path, monkeypatch) -> None:
    size = patch_row("a").nbytes + table_writers._ROW_BYTES
    monkeypatch.setattr(table_writers, "ROW_GROUP_BYTES", 2 * size)
    write_dataset(tmp_path / "out", ["a"] * 7)
    file = pq.ParquetFile(tmp_path / "out" / "patches" / "part-00000.parquet")
    groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sum(groups) == 7
    assert max(groups) == 2


def test_shards_of_equal_number_cover_equal_inputs(tmp_path) -> None:
    write_dataset(tmp_path / "out", ["a", "b", "c", "d", "e"], rows_per_shard=2)
    for number, names in enumerate((["a", "b"], ["c", "d"], ["e"])):
        for kind in ("stats", "patches"):
            path = tmp_path / "out" / kind / f"part-{number:05d}.parquet"
            assert pq.read_table(path)["image_id"].to_pylist() == names
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [shard["rows"] for shard in manifest["shards"]] == [2, 2, 1]
    assert manifest["finished"]


def test_without_patches_there_is_no_folder_of_them(tmp_path) -> None:
    write_dataset(tmp_path / "out", ["a"], CONFIG | {"patches": False})
    assert not (tmp_path / "out" / "patches").exists()
    with pytest.raises(UsageError, match="no patch sets"):
        next(read_patch_sets(tmp_path / "out"))


def tree(root) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(
    ("names", "changes", "options", "words"),
    [
        (["a"], {"threshold": 0.5}, {}, "threshold: 0.0, now 0.5"),
        (["a"], {}, {"resume": False}, "earlier run"),
        (["b"], {}, {}, "expected a, found b"),
        ([], {}, {}, "only 0 of 1 inputs are left"),
        (["0", "a"], {}, {}, "expected a, found 0"),
    ],
)
def test_an_existing_dataset_is_refused_untouched(
    tmp_path, names, changes, options, words: str
) -> None:
    write_dataset(tmp_path / "out", ["a"])
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=words) as caught:
        write_dataset(tmp_path / "out", names, CONFIG | changes, **options)
    assert caught.value.exit_code == ExitCode.OUTPUT
    assert tree(tmp_path) == before


def test_overwrite_removes_only_what_is_ours(tmp_path) -> None:
    write_dataset(tmp_path / "out", ["a", "b", "c"], rows_per_shard=1)
    (tmp_path / "out" / "stats" / "mine.txt").write_text("keep")
    (tmp_path / "out" / "notes.txt").write_text("keep")
    write_dataset(tmp_path / "out", ["d"], overwrite=True)
    files = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*")}
    assert files == {
        ".lock",
        "manifest.json",
        "notes.txt",
        "stats/mine.txt",
        "stats/part-00000.parquet",
        "patches/part-00000.parquet",
    }


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_not_ours_is_refused(tmp_path, overwrite: bool) -> None:
    (tmp_path / "precious.txt").write_text("keep")
    with pytest.raises(OutputError, match="files that are not a dataset"):
        write_dataset(tmp_path, ["a"], overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_a_failing_run_leaves_no_half_shard(tmp_path) -> None:
    output = dataset_output(str(tmp_path / "out"), CONFIG)
    with pytest.raises(KeyboardInterrupt), output as sink:
        sink.add(stats_row("a"), patch_row("a"))
        raise KeyboardInterrupt
    names = {path.name for path in (tmp_path / "out").rglob("*.*")}
    assert names == {".lock", "manifest.json"}


def test_files_of_others_are_not_read(tmp_path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DamagedError, match="metadata"):
        next(read_patch_sets(tmp_path / "a.parquet"))
    with pytest.raises(UsageError, match="is not a dataset"):
        next(read_patch_sets(tmp_path))
