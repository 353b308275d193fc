"""The script that goes from one data set to another, with folders in place of the hub."""

import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.docs.pages import DOCS, ROOT
from tests.store.kept_run import fields, source_table

SCRIPT = DOCS / "scripts" / "caption_dataset.py"
COLUMNS = ["image", "label", "tags", "price"]
PICTURES = sorted((ROOT / "sample_data" / "questions").glob("*-1.png"))[:3]


@pytest.fixture
def source(tmp_path: Path) -> pa.Table:
    pictures = [path.read_bytes() for path in PICTURES]
    table = source_table([*pictures, b"broken"]).select(COLUMNS)
    (tmp_path / "pages").mkdir()
    pq.write_table(table.slice(0, 2), tmp_path / "pages" / "0.parquet")
    pq.write_table(table.slice(2), tmp_path / "pages" / "1.parquet")
    return table


def caption(folder: Path, *further: str) -> subprocess.CompletedProcess[bytes]:
    command = [
        sys.executable,
        SCRIPT,
        "pages",
        "captioned",
        "--prompt",
        "Line 1?",
        "--answer-column",
        "md",
    ]
    return subprocess.run(
        [*command, "--", "--workers", "0", *further],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        check=False,
    )


def test_a_data_set_becomes_one_with_answers(source: pa.Table, tmp_path: Path) -> None:
    done = caption(tmp_path, "--limit", "2")
    assert done.returncode == 0, done.stderr.decode()
    assert pq.read_table(tmp_path / "captioned" / "data").num_rows == 2
    done = caption(tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert "done by an earlier run" in done.stderr.decode()
    found = pq.read_table(tmp_path / "captioned" / "data")
    assert found.select(COLUMNS).to_pylist() == source.to_pylist()
    assert found.schema.field("price").type == fields().field("price").type
    assert found["status"].to_pylist() == ["ok"] * 3 + ["error"]
    assert all(found["md"].to_pylist()[:3])


def test_datasets_reads_the_result(source: pa.Table, tmp_path: Path) -> None:
    assert caption(tmp_path).returncode == 0
    path = str(tmp_path / "captioned" / "data" / "*.parquet")
    found = datasets.load_dataset(
        "parquet", data_files=path, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert isinstance(found.features["image"], datasets.Image)
    assert found.features["md"] == datasets.Value("string")
    assert found[0]["image"].format == "PNG"


def test_a_run_that_cannot_start_publishes_nothing(tmp_path: Path) -> None:
    done = caption(tmp_path)
    assert done.returncode == 2
    assert b"pages: no such file or folder" in done.stderr
    assert not (tmp_path / "captioned").exists()
