from pathlib import Path

import pytest

from tests.command import pixelprune


@pytest.fixture
def out(folder: Path, tmp_path: Path) -> Path:
    assert pixelprune("analyze", folder, "-o", tmp_path / "out", "-q").returncode == 3
    return tmp_path / "out"


def test_verify_says_what_it_checked(out: Path) -> None:
    done = pixelprune("verify", out, "--data")
    assert done.returncode == 0
    assert b"4 rows, 3 patch sets, 3 rasters rebuilt: 0 faults" in done.stderr


def test_verify_names_the_damage(out: Path) -> None:
    part = out / "patches" / "part-00000.parquet"
    raw = bytearray(part.read_bytes())
    raw[len(raw) // 2] ^= 1
    part.write_bytes(raw)
    done = pixelprune("verify", out)
    assert done.returncode == 6
    assert b"part-00000.parquet" in done.stderr


def test_reconstruct_goes_on_after_a_damaged_patch_set(out: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    part = out / "patches" / "part-00000.parquet"
    table = pq.read_table(part)
    index = table.schema.get_field_index("raster_digest")
    digests = table["raster_digest"].to_pylist()
    digests[1] = "0" * 32
    field = table.schema.field(index)
    pq.write_table(table.set_column(index, field, pa.array(digests, field.type)), part)
    done = pixelprune("reconstruct", out, "--to", tmp_path / "png")
    assert done.returncode == 3
    assert b"2 images written" in done.stderr
    assert b"b.jpg: the rebuilt raster differs" in done.stderr
    assert sorted(
        str(p.relative_to(tmp_path / "png")) for p in (tmp_path / "png").rglob("*.png")
    ) == [
        "a.png",
        "sub/a.png",
    ]


def test_datasets_without_patch_sets(folder: Path, tmp_path: Path) -> None:
    pixelprune("analyze", folder, "-o", tmp_path / "out", "-q", "--no-patches")
    done = pixelprune("reconstruct", tmp_path / "out", "--to", tmp_path / "png")
    assert done.returncode == 2
    assert b"--no-patches" in done.stderr
    assert pixelprune("verify", tmp_path / "out").returncode == 0


def test_what_is_not_a_dataset(tmp_path: Path) -> None:
    for args in (["verify", tmp_path], ["reconstruct", tmp_path, "--to", tmp_path / "png"]):
        done = pixelprune(*args)
        assert done.returncode == 2
        assert b"is not a dataset" in done.stderr
