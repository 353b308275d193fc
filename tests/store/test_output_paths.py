"""What names of outputs stand for."""

import os
from pathlib import Path

import pytest

from ppcli.errors import UsageError
from ppcli.store.formats import Format
from ppcli.store.output_paths import Compression, RowFileType, check_folder, row_file_type


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a/b.CSV", RowFileType(Format.CSV)),
        ("x.jsonl", RowFileType(Format.JSONL)),
        ("new/x.parquet", RowFileType(Format.PARQUET)),
        ("x.jsonl.gz", RowFileType(Format.JSONL, Compression.GZIP)),
        ("a.b.csv.ZST", RowFileType(Format.CSV, Compression.ZSTD)),
        ("C:/x.csv", RowFileType(Format.CSV)),
    ],
)
def test_files(name: str, kind: RowFileType) -> None:
    assert row_file_type(name) == kind


@pytest.mark.parametrize(
    "name",
    [
        "a/b",
        "run.2026",
        "run.2026-08-01",
        "run.v2",
        "x.csv/",
        "out.zip/",
        "my.experiments",
        ".",
        "..",
        ".out",
        "a.b/c",
    ],
)
def test_folders(name: str) -> None:
    assert row_file_type(name) is None


REFUSED = [
    *("x.zip", "x.tar", "x.tar.gz", "x.tgz", "x.7z", "x.xz", "x.bz2", "x.gz", "x.zst"),
    *("x.csv.zip", "x.jsonl.bz2", "x.csv.xz", "x.parquet.gz", "x.parquet.zst"),
    *("x.json", "x.ndjson", "x.tsv", "x.txt", "x.arrow", "x.feather", "x.orc", "x.avro"),
    *("x.xlsx", "x.XLS", "x.ods", "x.db", "x.sqlite", "x.sqlite3", "x.duckdb", "x.html", "x.png"),
    *("x.json.gz", "new/folder/x.pdf", "./x.h5"),
]


@pytest.mark.parametrize("name", REFUSED)
def test_names_of_other_files_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"does not look like a folder; .*\.jsonl.*\.gz") as caught:
        row_file_type(name)
    assert f"write {name}/" in str(caught.value)
    assert row_file_type(f"{name}/") is None


DATASETS = ["s3://b/out", "s3://b", "gs://b/x.d/", "az://c/x.csv/", "memory://x", "s3://b/x.zip"]


@pytest.mark.parametrize("name", DATASETS)
def test_datasets_may_be_at_urls(name: str) -> None:
    assert row_file_type(name) is None
    with pytest.raises(UsageError, match=r"--to is .* only to local paths"):
        check_folder(name, "--to")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("s3://bucket/x.csv", "write s3://bucket/x.csv/"),
        ("s3://bucket/x.jsonl.gz", "single files are written only to local paths"),
        ("http://host/x.jsonl", r"only to local paths and to s3://.*gs://.*az://"),
        ("https://user:secret@host/out?key=secret", "only to local paths and to s3://"),
        ("sftp://host/out", "only to local paths and to s3://"),
        ("hf://datasets/a/b", "only to local paths and to s3://"),
        ("file:///tmp/x.csv", "only to local paths"),
        ("hdfs://x/", "hdfs:// cannot be opened"),
        ("s4://x/out", "s4:// cannot be opened"),
        ("s3://", "names no bucket"),
    ],
)
def test_other_urls_are_refused(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        row_file_type(name)
    assert "secret" not in str(caught.value)


def test_a_folder_that_is_there_is_one_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "scans.zip").mkdir()
    assert row_file_type(str(tmp_path / "scans.zip")) is None


def test_a_home_that_the_shell_left_as_it_is(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="~"):
        row_file_type(os.path.join("~", "x.csv"))
    (tmp_path / "~").mkdir()
    assert row_file_type(os.path.join("~", "x.csv")) == RowFileType(Format.CSV)
