import json
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ppcli.errors import UsageError
from ppcli.store.atomic import file_digest
from ppcli.store.manifest import Manifest
from ppcli.store.shards import FileRecord
from ppcli.store.verify import verify
from tests.command import pixelprune


@pytest.fixture(scope="module")
def made(tmp_path_factory, request):
    from tests.conftest import blocks

    root = tmp_path_factory.mktemp("verify")
    (root / "in").mkdir()
    for seed in range(3):
        Image.fromarray(blocks(200, 300, seed=seed)).save(root / "in" / f"{seed}.png")
    (root / "in" / "x.png").write_bytes(b"")
    done = pixelprune("analyze", root / "in", "-o", root / "out", "-q")
    assert done.returncode == 3, done.stderr
    return root / "out"


@pytest.fixture
def out(made, tmp_path):
    return shutil.copytree(made, tmp_path / "out")


def part(out, kind: str):
    return out / kind / "part-00000.parquet"


def rewrite(out, kind: str, change) -> None:
    """Change a table, and the manifest's record of its file with it."""
    table = pq.read_table(part(out, kind))
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), part(out, kind))
    manifest = Manifest.read(str(out))
    manifest.shards[0].files[kind] = FileRecord(*file_digest(str(part(out, kind))))
    manifest.write(str(out))


def with_column(name: str, values):
    def change(table: pa.Table) -> pa.Table:
        index = table.schema.get_field_index(name)
        field = table.schema.field(index)
        return table.set_column(index, field, pa.array(values, field.type))

    return change


def faults(out, data: bool = False) -> list[str]:
    return verify(str(out), data).damage


def test_what_was_just_written_is_whole(out) -> None:
    report = verify(str(out), data=True)
    assert (report.files, report.rows, report.patch_sets, report.rasters) == (2, 4, 3, 3)
    assert report.damage == []
    assert report.finished


def test_single_files(out) -> None:
    assert verify(str(part(out, "patches")), data=True).rasters == 3
    assert verify(str(part(out, "stats"))).rows == 4
    (out / "a.csv").write_text("a,b\n")
    with pytest.raises(UsageError, match=r"\.parquet"):
        verify(str(out / "a.csv"))
    with pytest.raises(UsageError, match="does not exist"):
        verify(str(out / "missing"))
    with pytest.raises(UsageError, match="is not a dataset"):
        verify(str(out / "stats"))


@pytest.mark.parametrize("kind", ["stats", "patches"])
def test_a_flipped_byte_in_any_page(out, kind: str) -> None:
    whole = part(out, kind).read_bytes()
    group = pq.ParquetFile(part(out, kind)).metadata.row_group(0)
    for index in range(group.num_columns):
        chunk = group.column(index)
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        raw = bytearray(whole)
        raw[start + chunk.total_compressed_size - 1] ^= 1
        part(out, kind).write_bytes(raw)
        assert any(kind in fault for fault in faults(out)), chunk.path_in_schema


@pytest.mark.parametrize("kind", ["stats", "patches"])
def test_a_missing_and_a_cut_file(out, kind: str) -> None:
    raw = part(out, kind).read_bytes()
    part(out, kind).write_bytes(raw[:-10])
    assert any(kind in fault for fault in faults(out))
    part(out, kind).unlink()
    assert any(kind in fault for fault in faults(out))


@pytest.mark.parametrize(
    ("kind", "column", "values", "words"),
    [
        ("stats", "kept", [1, 10**6, 1, None], "unique of"),
        ("stats", "tokens", [1, 1, 1, None], "grid"),
        ("stats", "keep_ratio", [0.5, 0.5, 0.5, None], "ratios"),
        ("stats", "status", ["ok", "ok", "fine", "error"], "status"),
        ("stats", "error_code", [None, None, None, "oops"], "oops"),
        ("stats", "image_id", ["0.png", "2.png", "1.png", "x.png"], "the statistics have"),
        ("patches", "image_id", ["0.png", "2.png", "1.png"], "the statistics have"),
        ("patches", "fitted_width", [1, 1, 10**6], "fitted"),
    ],
)
def test_columns_that_disagree(out, kind: str, column: str, values, words: str) -> None:
    rewrite(out, kind, with_column(column, values))
    assert any(words in fault for fault in faults(out))


def test_rows_that_are_missing(out) -> None:
    rewrite(out, "patches", lambda table: table.slice(0, 2))
    assert any("2 patch sets" in fault for fault in faults(out))
    rewrite(out, "stats", lambda table: table.slice(0, 3))
    assert any("3 rows" in fault for fault in faults(out))


def test_a_wrong_digest_is_found_only_with_data(out) -> None:
    rewrite(out, "patches", with_column("raster_digest", ["0" * 32] * 3))
    assert faults(out) == []
    assert len(faults(out, data=True)) == 3


def test_files_from_elsewhere(out) -> None:
    shutil.copy(part(out, "stats"), out / "stats" / "part-00007.parquet")
    assert any("part-00007" in fault for fault in faults(out))
    manifest = Manifest.read(str(out))
    manifest.config["threshold"] = 0.5
    manifest.write(str(out))
    assert any("another configuration" in fault for fault in faults(out))


@pytest.mark.parametrize("kind", ["stats", "patches", "manifest"])
def test_every_single_byte_counts(out, kind: str) -> None:
    path = out / "manifest.json" if kind == "manifest" else part(out, kind)
    whole = path.read_bytes()
    step = max(1, len(whole) // 300)
    places = {0, 3, 4, *range(0, len(whole), step), *range(len(whole) - 12, len(whole))}
    for place in sorted(places):
        raw = bytearray(whole)
        raw[place] ^= 1 << (place % 8)
        path.write_bytes(raw)
        assert faults(out), f"flipped at {place}"
    for place in sorted(places)[::10]:
        path.write_bytes(whole[:place] + whole[place + 1 :])
        assert faults(out), f"missing at {place}"
        path.write_bytes(whole[:place] + b"\0" + whole[place:])
        assert faults(out), f"added at {place}"
    path.write_bytes(whole)
    assert faults(out) == []


def test_names_of_columns_that_are_not_utf8_are_damage(out) -> None:
    path = part(out, "stats")
    whole = path.read_bytes()
    for place in (found.start() for found in re.finditer(b"keep_ratio", whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x80]) + whole[place + 1 :])
        [fault] = faults(out)
        assert "affected: rows 1 to 4" in fault


def test_affected_rows_are_named(out) -> None:
    path = part(out, "patches")
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(0)
    whole = path.read_bytes()
    raw = bytearray(whole)
    raw[chunk.data_page_offset + 40] ^= 1
    path.write_bytes(raw)
    [fault] = faults(out)
    assert fault.endswith("patch sets 1 to 3 of this file (0.png to 2.png)")
    raw = bytearray(whole)
    raw[raw.rindex(b"parquet-cpp")] ^= 1  # in the footer: who wrote it
    path.write_bytes(raw)
    [fault] = faults(out)
    assert "patch sets 1 to 3 of this file (0.png to 2.png), whose checksums match" in fault
    part(out, "stats").unlink()
    path.write_bytes(whole)
    [fault] = faults(out)
    assert fault.endswith("rows 1 to 4")


def test_masks_that_are_smaller_in_the_file_than_before(tmp_path) -> None:
    """Many pages that are alike: their masks take more bytes than the file that holds them."""
    pages = [Image.new("RGB", (1_024, 1_024), "white")] * 8
    pages[0].save(
        tmp_path / "a.tif", save_all=True, append_images=pages[1:], compression="packbits"
    )
    done = pixelprune("analyze", tmp_path / "a.tif", "--patch-size", "2", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (shard,) = json.loads((tmp_path / "out" / "manifest.json").read_text())["shards"]
    assert shard["patch_bytes"] > shard["files"]["patches"]["size"]
    assert verify(str(tmp_path / "out"), data=True).damage == []
