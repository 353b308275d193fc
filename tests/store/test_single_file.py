"""Single files of rows: whole or not there, and what was done is kept beside them."""

import csv
import errno
import gzip
import io
import json
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ppcli.errors import ExitCode, OutputError, StoppedError
from ppcli.store.compression import compressed_file
from ppcli.store.dataset import dataset_output
from ppcli.store.formats import Format
from ppcli.store.manifest import Manifest
from ppcli.store.output_paths import Compression, RowFileType, row_file_type
from ppcli.store.row_sinks import stream_output
from ppcli.store.rows import AnswerRow
from ppcli.store.single_file import file_output
from tests.store import small_run
from tests.store.test_recovery import FaultyDisk, kill_at_every
from tests.store.test_row_sinks import ODD_NAME, ref, stats_row

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
NAMES = ["x.jsonl", "x.csv", "x.parquet", "x.jsonl.gz", "x.csv.gz", "x.jsonl.zst", "x.CSV.zst"]
CONFIG: dict[str, Any] = {"threshold": 0.0, "model": {"source": "a model"}}
ROWS = [
    stats_row("a", tokens=2**40, decode_ms=1e-300),
    stats_row(ODD_NAME, status="error", error_message="x, y"),
    stats_row("b", frames=None, threshold=1 / 3),
    stats_row("", warning=""),
]


def write(
    target: Path, rows=ROWS, config=CONFIG, kind: RowFileType | None = None, **options
) -> None:
    kind = kind or row_file_type(str(target))
    assert kind is not None
    with file_output(str(target), kind, config, **options) as sink:
        refs = iter([ref(row.image_id or getattr(row, "custom_id", "")) for row in rows])
        done = sum(len(shard.inputs) for shard in sink.previous_shards(refs))
        for row, one in zip(rows[done:], refs, strict=True):
            sink.add(row, None)
            sink.end_of_input(one)


def stop_after(target: Path, number: int, **options) -> None:
    """A run that is stopped once it has so many rows."""
    with pytest.raises(StoppedError):
        write_some(target, number, **options)


def write_some(target: Path, number: int, **options) -> None:
    kind = row_file_type(str(target))
    assert kind is not None
    with file_output(str(target), kind, CONFIG, **options) as sink:
        list(sink.previous_shards(iter([])))
        for row in ROWS[:number]:
            sink.add(row, None)
            sink.end_of_input(ref(row.image_id))
        raise StoppedError(ExitCode.INTERRUPTED, "interrupted")


def unpacked(path: Path) -> bytes:
    """The bytes within a file, by libraries that did not write it."""
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return pa.CompressedInputStream(str(path), "zstd").read()
    return path.read_bytes()


def without_times(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of statistics, as it has them."""
    raw = unpacked(path)
    if ".jsonl" in path.name.lower():
        rows = [json.loads(line) for line in raw.splitlines()]
    elif ".csv" in path.name.lower():
        rows = list(csv.DictReader(io.StringIO(raw.decode(), newline="")))
    else:
        rows = pq.read_table(io.BytesIO(raw)).to_pylist()
    return [{k: v for k, v in row.items() if not k.endswith("_ms")} for row in rows]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_has_the_bytes_of_the_stream(tmp_path: Path, name: str) -> None:
    """The rows take a way through shards, of which nothing shows; folders are made."""
    target = tmp_path / "new" / "folder" / name
    write(target, rows_per_shard=2)
    kind = row_file_type(name)
    assert kind is not None
    streamed = io.BytesIO()
    with stream_output(streamed, kind.format, CONFIG) as sink:
        for row in ROWS:
            sink.add(row, None)
            sink.end_of_input(ref(row.image_id))
    assert unpacked(target) == streamed.getvalue()
    assert [path.name for path in target.parent.iterdir()] == [name]


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.csv.zst"])
def test_packed_files_are_small_and_hold_no_time(tmp_path: Path, name: str, monkeypatch) -> None:
    rows = [stats_row(f"image-{number}") for number in range(2_000)]
    plain = tmp_path / Path(name).stem
    write(plain, rows)
    write(tmp_path / name, rows)
    monkeypatch.setattr("time.time", lambda: 1e9)
    write(tmp_path / "later" / f"other-{name}", rows)
    packed_bytes = (tmp_path / name).read_bytes()
    assert packed_bytes == (tmp_path / "later" / f"other-{name}").read_bytes()
    assert len(packed_bytes) < plain.stat().st_size / 20
    if name.endswith(".gz"):
        assert packed_bytes[3] == 0, "no flags: no name"
        assert packed_bytes[4:8] == bytes(4), "no time"


@pytest.mark.parametrize("compression", list(Compression))
def test_what_breaks_off_is_not_ended(compression: Compression) -> None:
    file = io.BytesIO()
    with pytest.raises(KeyError), compressed_file(file, compression) as packing_file:
        packing_file.write(b"abc" * 1000)
        raise KeyError
    cut = len(file.getvalue())
    assert not file.closed
    with compressed_file(file, compression) as packing_file:
        packing_file.write(b"abc" * 1000)
    assert not file.closed
    whole = file.getvalue()[cut:]
    if compression is Compression.GZIP:
        assert gzip.decompress(whole) == b"abc" * 1000
    else:
        assert pa.CompressedInputStream(io.BytesIO(whole), "zstd").read() == b"abc" * 1000


def test_openai_lines_are_numbered_as_if_never_stopped(tmp_path: Path) -> None:
    rows = [
        AnswerRow(custom_id=f"c{n}", prompt="p", answer=f"é {n}", finish_reason="stop")
        for n in range(5)
    ]
    rows[3] = replace(rows[3], status="error", error_code="timeout", error_message="slow")
    kind, config = RowFileType(Format.OPENAI), CONFIG | {"rows": "answers"}
    write(tmp_path / "whole.jsonl", rows, config, kind)
    with (
        pytest.raises(StoppedError),
        file_output(str(tmp_path / "x.jsonl"), kind, config, rows_per_shard=2) as sink,
    ):
        for row in rows[:3]:
            sink.add(row, None)
            sink.end_of_input(ref(row.custom_id or ""))
        raise StoppedError(ExitCode.INTERRUPTED, "interrupted")
    write(tmp_path / "x.jsonl", rows, config, kind)
    assert (tmp_path / "x.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["whole.jsonl", "x.jsonl"]


@pytest.mark.parametrize("name", NAMES)
def test_a_stopped_run_goes_on(tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    write(tmp_path / f"whole-{name}")
    stop_after(target, 3, rows_per_shard=2)
    assert not target.exists()
    kept = tmp_path / f"{name}.partial"
    assert sum(shard.rows for shard in Manifest.read(str(kept)).shards) == 3
    write(target, rows_per_shard=2)
    assert target.read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    assert not kept.exists()


def test_a_run_that_kept_nothing_leaves_nothing(tmp_path: Path) -> None:
    stop_after(tmp_path / "x.csv", 0)
    output = file_output(str(tmp_path / "x.csv"), RowFileType(Format.CSV), CONFIG)
    with pytest.raises(KeyboardInterrupt), output as sink:
        sink.add(ROWS[0], None)
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_what_stands_there_stays_until_the_end(tmp_path: Path) -> None:
    """With `--overwrite` a run starts anew; without it, what was to be replaced still may be."""
    target = tmp_path / "x.csv"
    target.write_text("old")
    with pytest.raises(OutputError, match="--overwrite"):
        write(target)
    stop_after(target, 2, overwrite=True)
    assert target.read_text() == "old"
    write(target)
    assert len(without_times(target)) == 4
    assert os.listdir(tmp_path) == ["x.csv"]
    stop_after(target, 2, overwrite=True)
    target.write_text("another one")
    with pytest.raises(OutputError, match="move it away to resume with the rows in") as caught:
        write(target)
    assert f"{target}.partial" in str(caught.value)
    assert target.read_text() == "another one"
    write(target, overwrite=True)
    assert len(without_times(target)) == 4


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_comes_into_being_meanwhile_is_left_alone(tmp_path: Path, overwrite: bool) -> None:
    target = tmp_path / "x.csv"
    if overwrite:
        target.write_text("old")
    output = file_output(str(target), RowFileType(Format.CSV), CONFIG, overwrite=overwrite)
    with pytest.raises(OutputError, match=r"during the run.*all rows are kept in"), output as sink:
        sink.add(ROWS[0], None)
        sink.end_of_input(ref(ROWS[0].image_id))
        target.write_text("mine")
    assert target.read_text() == "mine"
    target.unlink()
    write(target, ROWS[:1])
    assert len(without_times(target)) == 1


def test_other_rows_are_not_mixed_in(tmp_path: Path) -> None:
    target = tmp_path / "x.csv"
    stop_after(target, 2)
    with pytest.raises(OutputError, match=r"threshold: 0\.0, now 0\.5"):
        write(target, config=CONFIG | {"threshold": 0.5})
    with pytest.raises(OutputError, match="was made from other inputs"):
        write(target, ROWS[1:])
    with pytest.raises(OutputError, match="contains an earlier run"):
        write(target, resume=False)
    write(target)
    assert len(without_times(target)) == 4


def test_names_that_are_taken(tmp_path: Path) -> None:
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(OutputError, match="exists and is not a file"):
        write(tmp_path / "x.csv", overwrite=True)
    (tmp_path / "y.csv.partial").mkdir()
    (tmp_path / "y.csv.partial" / "mine").write_text("precious")
    with pytest.raises(OutputError, match="files that are not a dataset"):
        write(tmp_path / "y.csv", overwrite=True)
    assert os.listdir(tmp_path / "y.csv.partial") == ["mine"]
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "z.csv")
        with pytest.raises(OutputError, match="exists and is not a file"):
            write(tmp_path / "z.csv", overwrite=True)


def test_two_runs_keep_off_one_another(tmp_path: Path) -> None:
    target = tmp_path / "x.csv"
    refused = pytest.raises(OutputError, match="another run")
    with file_output(str(target), RowFileType(Format.CSV), CONFIG) as sink:
        with refused:
            write(target)
        sink.add(ROWS[0], None)
        sink.end_of_input(ref(ROWS[0].image_id))
    assert len(without_times(target)) == 1


def test_files_of_others_in_the_folder_stay(tmp_path: Path) -> None:
    stop_after(tmp_path / "x.csv", 2)
    (tmp_path / "x.csv.partial" / "notes.txt").write_text("precious")
    write(tmp_path / "x.csv")
    assert os.listdir(tmp_path / "x.csv.partial") == ["notes.txt"]


def test_the_partial_form_is_a_dataset(tmp_path: Path) -> None:
    stop_after(tmp_path / "x.csv", 2)
    with dataset_output(f"{tmp_path}/x.csv.partial", CONFIG) as dataset:
        assert [asdict(row) for row, _ in dataset.rows()] == [asdict(row) for row in ROWS[:2]]


@pytest.mark.slow
@posix
@pytest.mark.parametrize(("name", "stride"), [("x.csv", 1), ("x.parquet", 5), ("x.jsonl.gz", 5)])
def test_killed_at_every_step_and_resumed(
    inputs: Path, tmp_path: Path, name: str, stride: int
) -> None:
    small_run.run(inputs, tmp_path / "undisturbed" / name)
    expected = without_times(tmp_path / "undisturbed" / name)
    codes = kill_at_every(stride, inputs, tmp_path / "killed{}" / name)
    finished = kept = 0
    for step, code in codes.items():
        out = tmp_path / f"killed{step}" / name
        if code == 0:
            continue
        placed = list(out.parent.glob("*.partial/stats/part-*.parquet"))
        if out.exists():  # the whole of it, and only the rest was not removed yet
            assert without_times(out) == expected, f"killed at step {step}"
            finished += 1
            with pytest.raises(OutputError, match="exists"):
                small_run.run(inputs, out)
        else:
            done = small_run.run(inputs, out)
            assert (done > 0) == bool(placed), f"killed at step {step}"
            kept += done > 0
        assert without_times(out) == expected, f"killed at step {step}"
        assert os.listdir(out.parent) == [name], f"killed at step {step}"
    assert finished > 20 / stride
    assert kept > 50 / stride


@pytest.mark.slow
@posix
def test_a_disk_that_fails_at_every_write(inputs: Path, tmp_path: Path) -> None:
    small_run.run(inputs, tmp_path / "undisturbed" / "x.csv")
    expected = without_times(tmp_path / "undisturbed" / "x.csv")
    at, finished = 0, False
    while not finished:
        out = tmp_path / f"out{at}" / "x.csv"
        disk = FaultyDisk(at, errno.ENOSPC)
        with pytest.MonkeyPatch.context() as patch:
            disk.install(patch)
            try:
                small_run.run(inputs, out)
                finished = True
            except OutputError as caught:
                assert os.strerror(errno.ENOSPC) in str(caught)
        if not out.exists():
            small_run.run(inputs, out)
        assert without_times(out) == expected, f"failed at write {at}"
        at += 1
    assert at > 30
