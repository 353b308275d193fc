"""Datasets as inputs."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ppcli.engine.arrivals import Arrivals
from ppcli.jobs.stored_images import StoredImages, StoredRequests
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.atomic import file_digest
from ppcli.store.manifest import Manifest
from ppcli.store.shards import FileRecord, shard_path
from tests.command import pixelprune
from tests.conftest import blocks


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
    with Arrivals(iter(stored)) as arrivals:
        asked = [
            (prepared.row.image_id, prepared.images[0].image_id)
            for _, pages in StoredRequests(str(out), GenerationRequest("?")).requests(
                arrivals, lambda: False
            )
            for prepared in pages
        ]
    there = ["a.png", "b.tif#1", "b.tif#2"]
    again = ["a.png~2", "b.tif~2#1", "b.tif~2#2"]
    assert asked == list(zip(there + again, there * 2, strict=True))
