"""`--update` where inputs and datasets are in an object store, or in archives."""

import io
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.cli.commands.test_update import analyze, change, found, ids
from tests.command import pixelprune
from tests.conftest import blocks
from tests.object_store import ObjectStore


def png(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(blocks(96, 64, seed=seed)).save(file, "PNG")
    return file.getvalue()


def test_a_bucket_that_changes(s3: ObjectStore, folder: Path, tmp_path: Path) -> None:
    inputs, out = s3.upload(folder, "growing-in"), f"{s3.bucket('growing-out')}/set"
    run = (inputs, "-o", out, "--rows-per-shard", "2", "--update")
    assert found(analyze(*run, code=3)) == [4, 0, 0, 0, None]
    assert found(analyze(*run, code=3)) == [0, 0, 4, 0, None]
    change(folder)
    for name in ("a.png", "aa.png", "broken.png"):
        content = (folder / name).read_bytes()
        s3.client.put_object(Bucket="growing-in", Key=name, Body=content)
    s3.client.delete_object(Bucket="growing-in", Key="b.jpg")
    assert found(analyze(*run)) == [1, 2, 1, 1, None]
    assert found(analyze(*run, "--drop-missing")) == [0, 0, 4, None, 1]
    assert pixelprune("verify", out, "--data").returncode == 0
    for key, content in s3.files("growing-out", "set/stats/").items():
        (tmp_path / "out" / "stats").mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / "stats" / Path(key).name).write_bytes(content)
    assert ids(tmp_path / "out") == ["a.png", "broken.png", "sub/a.png", "aa.png"]


def test_an_object_that_is_listed_by_name_and_gone_keeps_its_row(
    s3: ObjectStore, tmp_path: Path
) -> None:
    url = s3.bucket("listed", {"a.png": png(1), "b.png": png(2)})
    names = tmp_path / "names"
    names.write_text(f"{url}/a.png\0{url}/b.png\0")
    run = ("--files0-from", names, "-o", tmp_path / "out", "--update")
    assert found(analyze(*run)) == [2, 0, 0, 0, None]
    s3.client.delete_object(Bucket="listed", Key="b.png")
    assert found(analyze(*run, "--drop-missing")) == [0, 0, 1, None, 0]
    assert pq.read_table(tmp_path / "out" / "stats")["status"].to_pylist() == ["ok", "ok"]


def test_members_of_a_zip_archive_are_compared_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    run = (tmp_path / "in", "-o", tmp_path / "out", "--update")
    with zipfile.ZipFile(tmp_path / "in" / "a.zip", "w") as archive:
        archive.writestr("x.png", png(1))
        archive.writestr("y.png", png(2))
    (tmp_path / "in" / "b.png").write_bytes(png(3))
    assert found(analyze(*run)) == [3, 0, 0, 0, None]
    with zipfile.ZipFile(tmp_path / "in" / "a.zip", "a") as archive:
        archive.writestr("z.png", png(4))
    assert found(analyze(*run)) == [1, 0, 3, 0, None]
    with zipfile.ZipFile(tmp_path / "in" / "a.zip", "w") as archive:
        for name, seed in (("x.png", 1), ("y.png", 5), ("z.png", 4)):
            archive.writestr(name, png(seed))
    assert found(analyze(*run)) == [0, 1, 3, 0, None]
    assert ids(tmp_path / "out") == ["a.zip::x.png", "a.zip::y.png", "b.png", "a.zip::z.png"]


def test_kept_columns_of_unchanged_and_changed_rows(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    run = (tmp_path / "in", "-o", tmp_path / "out", "--update", "--keep-columns", "label")

    def write(name: str, first: int) -> None:
        rows = [{"image": png(first + n), "label": f"{name} {first + n}"} for n in range(3)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in" / f"{name}.parquet")

    write("a", 0)
    write("b", 10)
    assert found(analyze(*run)) == [6, 0, 0, 0, None]
    write("a", 20)
    write("c", 30)
    assert found(analyze(*run)) == [3, 3, 3, 0, None]
    assert pq.read_table(tmp_path / "out" / "stats")["label"].to_pylist() == [
        f"{name} {first + n}" for name, first in (("a", 20), ("b", 10), ("c", 30)) for n in range(3)
    ]
