"""Datasets as inputs."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from PIL import Image

from ppcli.engine.arrivals import Arrivals
from ppcli.errors import DamagedError
from ppcli.jobs import stored_images
from ppcli.jobs.stored_images import StoredImage, StoredImages, StoredRequests
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.atomic import file_digest
from ppcli.store.manifest import Manifest
from ppcli.store.reader import read_patch_rows
from ppcli.store.rows import StatsRow
from ppcli.store.shards import FileRecord, shard_path
from tests.command import pixelprune
from tests.conftest import blocks
from tests.store import small_run

Asked = list[tuple[str | None, str]]


def asked_about(root: Path, images: Iterable[StoredImage]) -> Asked:
    """The names of the answers, and of the patch sets that they are about."""
    with Arrivals(iter(images)) as arrivals:
        requests = StoredRequests(str(root), GenerationRequest("?")).requests
        return [
            (prepared.row.image_id, image.image_id)
            for _, pages in requests(arrivals, lambda: False)
            for prepared in pages
            for image in prepared.images
        ]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """The dataset of the small run, which has several shards."""
    small_run.run(small_run.make_inputs(tmp_path / "in"), tmp_path / "out")
    assert len(Manifest.read(str(tmp_path / "out")).shards) > 2
    return tmp_path / "out"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the patch files that are read, in order."""
    names: list[str] = []

    def read(path, *args, **options):
        names.append(Path(str(path)).name)
        return read_patch_rows(path, *args, **options)

    monkeypatch.setattr(stored_images, "read_patch_rows", read)
    return names


def record_as_written(root: Path) -> None:
    """Let the manifest say what the files of its shard are now."""
    manifest = Manifest.read(str(root))
    [shard] = manifest.shards
    for kind in shard.files:
        path = shard_path(str(root), kind, 0)
        shard.files[kind] = FileRecord(*file_digest(path))
    shard.rows, shard.patch_sets = shard.rows * 2, shard.patch_sets * 2
    manifest.write(str(root))


def test_images_of_one_name_in_a_dataset_of_old_are_told_apart(tmp_path: Path) -> None:
    """Of 0.1.0 there may be some: `analyze dir dir` gave every name twice."""
    images = tmp_path / "in"
    images.mkdir()
    Image.fromarray(blocks(64, 64)).save(images / "a.png")
    pages = [Image.fromarray(blocks(64, 64, seed=seed)) for seed in (1, 2)]
    pages[0].save(images / "b.tif", save_all=True, append_images=pages[1:])
    out = tmp_path / "out"
    assert pixelprune("analyze", images, "-o", out, "--workers", "0", "-q").returncode == 0
    for kind in ("stats", "patches"):
        path = out / kind / "part-00000.parquet"
        table = pq.read_table(path)
        pq.write_table(pa.concat_tables([table] * 2), path)
    record_as_written(out)
    stored = StoredImages(str(out))
    found = [one.image_id for one in stored]
    assert found == ["a.png", "b.tif#1", "a.png~2", "b.tif~2#1"]
    assert stored.repeated == "a.png~2"
    asked = asked_about(out, stored)
    there = ["a.png", "b.tif#1", "b.tif#2"]
    again = ["a.png~2", "b.tif~2#1", "b.tif~2#2"]
    assert asked == list(zip(there + again, there * 2, strict=True))


def test_each_file_is_read_once_and_none_before_the_first(shards: Path, opened: list[str]) -> None:
    images = list(StoredImages(str(shards)))
    in_order = [f"part-{number:05}.parquet" for number in sorted({one.shard for one in images})]
    whole = asked_about(shards, images)
    assert opened == in_order
    for start, image in enumerate(images):
        opened.clear()
        rest = asked_about(shards, images[start:])
        assert rest == whole[len(whole) - len(rest) :]
        assert len(rest) == sum(row.status == "ok" for one in images[start:] for row in one.rows)
        assert set(opened) <= set(in_order[image.shard :])
        assert len(opened) == len(set(opened))
    for name in in_order[:2]:
        (shards / "patches" / name).unlink()
    assert asked_about(shards, [one for one in images if one.shard >= 2])
    with pytest.raises(DamagedError):
        asked_about(shards, images)


def test_another_order_finds_the_same(shards: Path) -> None:
    images = list(StoredImages(str(shards)))
    whole = asked_about(shards, images)
    assert sorted(asked_about(shards, images[::-1])) == sorted(whole)
    assert asked_about(shards, images + images) == whole * 2


def test_a_patch_set_is_looked_for_in_its_shard_alone(shards: Path) -> None:
    image = next(iter(StoredImages(str(shards))))
    assert asked_about(shards, [image])
    for wrong in (image.shard + 1, 99):
        with pytest.raises(DamagedError, match=f"the patch set of {image.image_id} is missing"):
            asked_about(shards, [replace(image, shard=wrong)])


def test_the_shard_is_no_part_of_the_fingerprint(shards: Path) -> None:
    image = next(iter(StoredImages(str(shards))))
    assert replace(image, shard=7).fingerprint(failed=False) == image.fingerprint(failed=False)


def test_datasets_of_earlier_versions_have_the_fingerprints_that_they_had() -> None:
    """Columns that are new and empty change nothing, so that their answers can be gone on with."""
    sizes = dict.fromkeys(("width", "height", "fitted_width", "fitted_height", "tile"), 32)
    ones = dict.fromkeys(("page", "frames", "grid_h", "grid_w", "tokens", "kept", "unique"), 1)
    options = {"fit": "resize", "method": "pred_2d", "metric": "max", "mode": "anchored"}
    row = StatsRow(
        **{
            "image_id": "a.png",
            "path": "a.png",
            "format": "PNG",
            "file_bytes": 9,
            "threshold": 0.0,
        },
        **{"keep_ratio": 1.0, "unique_ratio": 1.0, "decode_ms": 1.0, "code_ms": 1.0},
        **(sizes | ones | options),
    )
    written = StoredImage([row], 0).fingerprint(failed=False)
    assert xxhash.xxh3_128_hexdigest(written) == "3a47195c4d59bcb5402487af4f5bb3a5"
    frame = StoredImage([replace(row, kept_intra=1)], 0).fingerprint(failed=False)
    assert frame != written


def test_row_groups_before_the_first_are_not_read(shards: Path) -> None:
    """Those before it are damaged here, which reading them would notice."""
    path = shards / "patches" / "part-00001.parquet"
    pq.write_table(
        pq.read_table(path), path, row_group_size=1, use_dictionary=False, write_page_checksum=True
    )
    file = pq.ParquetFile(path)
    assert file.num_row_groups > 1
    column = file.metadata.row_group(0).column(file.schema_arrow.get_field_index("keep"))
    last = file.read_row_group(file.num_row_groups - 1)["image_id"][0].as_py()
    content = bytearray(path.read_bytes())
    content[column.data_page_offset + column.total_compressed_size - 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedError):
        list(read_patch_rows(str(path)))
    assert [row.image_id for row in read_patch_rows(str(path), first=last)] == [last]
    assert list(read_patch_rows(str(path), first="nothing")) == []
