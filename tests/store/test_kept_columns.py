"""Columns that travel from inputs into rows: types, values, and what other tools make of them."""

import base64
import csv
import json
import signal
import subprocess
import sys
from pathlib import Path

import datasets
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ppcli.errors import OutputError, UsageError
from ppcli.store import table_writers
from ppcli.store.kept_columns import json_value, kept_schema
from ppcli.store.output_options import OutputOptions
from ppcli.store.rows import StatsRow
from ppcli.store.schema import SCHEMAS, own_schema
from ppcli.store.verify import verify
from tests.store.kept_run import TYPES, Rows, pictures, run, source_table

OWN = len(own_schema("stats", {}).names)


@pytest.fixture
def inputs(tmp_path: Path) -> Rows:
    folder = tmp_path / "in"
    folder.mkdir()
    return Rows(folder, source_table(pictures(5, broken=3)))


def kept_part(path: Path) -> pa.Table:
    table = pq.read_table(path, page_checksum_verification=True)
    return table.select(list(TYPES))


def test_values_of_every_type_come_out_as_they_went_in(inputs, tmp_path: Path) -> None:
    for out in (tmp_path / "out", tmp_path / "out.parquet"):
        run(inputs, out)
        path = out / "stats" if out.suffix == "" else out
        found = pq.read_table(path)
        assert found.column_names[OWN:] == list(TYPES)
        assert found["status"].to_pylist() == ["ok", "ok", "ok", "error", "ok"]
        for name, kind in TYPES.items():
            assert found.schema.field(name).type == kind, name
            assert repr(found[name].to_pylist()) == repr(inputs.table[name].to_pylist()), name
        assert verify(str(out)).damage == []


def test_an_arrow_stream_has_them_too(inputs, tmp_path: Path, monkeypatch) -> None:
    from ppcli.store.formats import Format
    from ppcli.store.row_sinks import row_writer

    schema = kept_schema(inputs.table.schema, SCHEMAS["stats"].names)
    path = tmp_path / "rows.arrow"
    monkeypatch.setattr(table_writers, "_ROWS_PER_BATCH", 2)
    config = {"keep_columns": []}
    with path.open("wb") as file, row_writer(file, Format.ARROW, config, schema) as writer:
        for ref in inputs:
            row = StatsRow(
                image_id=ref.image_id,
                path="",
                tile=1,
                fit="",
                method="",
                metric="",
                mode="",
                threshold=0.0,
            )
            writer.add(row, ref.columns)
    found = pa.ipc.open_stream(path.read_bytes()).read_all()
    for name in TYPES:
        assert repr(found[name].to_pylist()) == repr(inputs.table[name].to_pylist()), name


def test_text_formats_spell_them_as_json(inputs, tmp_path: Path) -> None:
    run(inputs, tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert list(rows[0])[OWN:] == list(TYPES)
    source = inputs.table.to_pylist()
    for row, was in zip(rows, source, strict=True):
        assert base64.b64decode(row["image"]["bytes"]) == was["image"]["bytes"]
        assert row["tags"] == was["tags"]
        assert row["text"] == was["text"]
    assert rows[1]["score"] is None  # not a number
    assert rows[0]["when"] == "2023-11-14 23:13:20.123456789+0100"
    assert rows[4]["price"] == "0.500"
    assert rows[0]["extra"] == [{"key": "k", "value": 0}]
    run(inputs, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["text"] for line in lines] == [was["text"] or "" for was in source]
    assert json.loads(lines[0]["tags"]) == ["x", None, "0"]
    assert (lines[0]["flag"], lines[2]["flag"]) == ("true", "")


def test_other_tools_read_them(inputs, tmp_path: Path) -> None:
    run(inputs, tmp_path / "out")
    source = inputs.table.to_pylist()
    files = str(tmp_path / "out" / "stats" / "*.parquet")
    rows = duckdb.sql(
        f"SELECT image.bytes, tags, price FROM '{files}' ORDER BY image_id"
    ).fetchall()
    assert [row[0] for row in rows] == [one["image"]["bytes"] for one in source]
    assert [row[1] for row in rows] == [one["tags"] for one in source]
    frame = pd.read_parquet(tmp_path / "out" / "stats")
    assert [one["bytes"] for one in frame["image"]] == [one["image"]["bytes"] for one in source]
    columns = ["image_id", "image", "label", "tags", "when"]
    table = pl.scan_parquet(files).select(columns).collect()
    assert table["label"].to_list() == [one["label"] for one in source]


def test_datasets_decodes_the_images(inputs, tmp_path: Path) -> None:
    plain = inputs.table.drop(["half", "nothing", "extra", "boxes", "id", "length", "group"])
    run(Rows(inputs.folder, plain), tmp_path / "out")
    found = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "out" / "stats" / "*.parquet"),
        cache_dir=str(tmp_path / "cache"),
        split="train",
    )
    assert isinstance(found.features["image"], datasets.Image)
    assert found.features["label"].names == ["x", "y"]
    assert found.features["kept"] == datasets.Value("int64")
    assert found[0]["image"].size == (found[0]["width"], found[0]["height"])


def test_resuming_and_retrying_keep_them(inputs, tmp_path: Path) -> None:
    short = Rows(inputs.folder, inputs.table.slice(0, 3))
    run(short, tmp_path / "out")
    assert run(inputs, tmp_path / "out").earlier_inputs == 3
    before = kept_part(tmp_path / "out" / "stats")
    (inputs.folder / "3.png").write_bytes(pictures(4)[3])

    class Without(Rows):
        """A retry whose inputs have their columns in the dataset alone."""

        def __iter__(self):
            for ref in super().__iter__():
                object.__setattr__(ref, "columns", None)
                yield ref

    again = Without(inputs.folder, inputs.table)
    summary = run(again, OutputOptions(str(tmp_path / "out"), retry_failed=True, rows_per_shard=2))
    assert (summary.good, summary.failed) == (5, 0)
    assert repr(kept_part(tmp_path / "out" / "stats").to_pylist()) == repr(before.to_pylist())
    assert verify(str(tmp_path / "out"), data=True).damage == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_killed_runs_are_resumed_with_them(inputs, tmp_path: Path) -> None:
    run(inputs, tmp_path / "whole")
    whole = repr(kept_part(tmp_path / "whole" / "stats").to_pylist())
    steps = [str(step) for step in range(3, 90, 14)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.kept_run", inputs.folder, tmp_path / "killed", *steps],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[2],
    )
    assert set(done.stdout.split()) == {b"%d" % -signal.SIGKILL}
    for step in steps:
        out = tmp_path / f"killed{step}"
        run(inputs, out)
        assert repr(kept_part(out / "stats").to_pylist()) == whole, f"killed at step {step}"
        assert verify(str(out)).damage == []


def test_other_columns_are_another_configuration(inputs, tmp_path: Path) -> None:
    run(inputs, tmp_path / "out")
    for other in (inputs.table.drop(["raw"]), inputs.table.select(list(TYPES)[::-1])):
        with pytest.raises(OutputError, match="keep_columns"):
            run(Rows(inputs.folder, other), tmp_path / "out")


def test_inputs_without_a_column_have_null(inputs, tmp_path: Path) -> None:
    class Without(Rows):
        def __iter__(self):
            for number, ref in enumerate(super().__iter__()):
                columns = None if number == 1 else {"label": ref.columns["label"]}
                object.__setattr__(ref, "columns", columns)
                yield ref

    run(Without(inputs.folder, inputs.table), tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet")
    assert found["label"].to_pylist() == [0, None, None, 1, 0]
    assert found["group"].null_count == found["image"].null_count == 5


def test_row_groups_count_the_bytes_of_kept_columns(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(table_writers, "ROW_GROUP_BYTES", 100_000)
    (tmp_path / "in").mkdir()
    table = pa.table({"raw": [bytes(60_000)] * 5 + [bytes(500_000)]})
    table = table.append_column("image", [source_table(pictures(6))["image"].combine_chunks()])
    run(
        Rows(tmp_path / "in", table),
        OutputOptions(str(tmp_path / "out.parquet"), rows_per_shard=100),
    )
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [2, 2, 2]


def test_dictionaries_of_small_numbers_do_not_overflow(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    plain = pa.array([f"value {number}" for number in range(300)])
    parts = [plain[begin : begin + 100].dictionary_encode() for begin in range(0, 300, 100)]
    kind = pa.dictionary(pa.int8(), pa.string())
    group = pa.chunked_array([part.cast(kind) for part in parts])
    table = pa.table({"image": source_table(pictures(1))["image"].take([0] * 300), "group": group})
    output = OutputOptions(str(tmp_path / "out.parquet"), rows_per_shard=1000)
    run(Rows(tmp_path / "in", table), output)
    found = pq.read_table(tmp_path / "out.parquet")["group"]
    assert (found.type, found.to_pylist()) == (kind, plain.to_pylist())
    assert verify(output.output).damage == []


def test_a_damaged_kept_column_is_found(inputs, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    run(inputs, out)
    chunk = pq.ParquetFile(out).metadata.row_group(0)
    columns = [chunk.column(n) for n in range(chunk.num_columns)]
    image = next(one for one in columns if one.path_in_schema == "image.bytes")
    data = bytearray(out.read_bytes())
    data[image.data_page_offset + image.total_compressed_size // 2] ^= 1
    out.write_bytes(data)
    assert verify(str(out)).damage != []


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (pa.schema([("kept", pa.int64())]), "kept is a kept column and a column of pixelprune"),
        (pa.schema([("a", pa.month_day_nano_interval())]), "which Parquet does not have"),
    ],
)
def test_columns_that_cannot_be_kept_are_refused(schema: pa.Schema, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        kept_schema(schema, SCHEMAS["stats"].names)
    assert "--keep-columns" in str(raised.value)


def test_numbers_that_json_has_not_are_null() -> None:
    assert json_value(pa.scalar(float("inf"))) is None
    assert json_value(pa.scalar([1.5, float("nan")])) == [1.5, None]
