"""What reads datasets reads those in stores, with few requests."""

from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest
from PIL import Image

from ppcli import api, read_patch_sets
from ppcli.errors import UsageError
from ppcli.jobs.report import figures_of
from ppcli.jobs.stored_images import StoredImages, is_dataset
from ppcli.store import table_writers
from ppcli.store.places.place import place_of
from ppcli.store.reader import read_image_ids, read_patch_rows
from ppcli.store.schema import FileMetadata
from ppcli.store.verify import verify
from tests.command import pixelprune
from tests.faulty_proxy import faulty_proxy
from tests.object_store import ObjectStore, environment_of, variables
from tests.store import small_run
from tests.store.places import far_run


@pytest.fixture
def far(s3: ObjectStore, made: Path, request) -> str:
    """The URL of a copy of the dataset of the small run, which was made on a disk."""
    name = "-".join(request.node.name.lower().split("_")[-4:])[:40].strip("-")
    url = s3.bucket(name)
    for path in sorted((made / "out").rglob("*")):
        if path.is_file():
            key = path.relative_to(made).as_posix()
            s3.client.put_object(Bucket=name, Key=key, Body=path.read_bytes())
    return f"{url}/out"


def test_a_dataset_that_was_copied_is_one(far: str, made: Path) -> None:
    report = verify(far, data=True)
    assert (report.damage, report.rasters, report.finished) == ([], 7, True)
    assert far_run.rows_of(far) == small_run.rows_of(made / "out")
    assert far_run.run(made / "in", far) == 7
    assert verify(f"{far}/patches/part-00001.parquet", data=True).rasters == 2


def test_the_python_functions(far: str, made: Path, tmp_path: Path) -> None:
    local = str(made / "out")
    ids = [one.image_id for one in read_patch_sets(far)]
    assert ids == [one.image_id for one in read_patch_sets(local)]
    [one] = read_patch_sets(far, ["3-pages.tif#2"])
    assert (one.image() == next(iter(read_patch_sets(local, ["3-pages.tif#2"]))).image()).all()
    assert api.reconstruct(far, tmp_path / "png").written == 7
    for path in (tmp_path / "png").rglob("*.png"):
        with Image.open(path) as image:
            image.load()
    assert api.view([far], output=str(tmp_path / "drawn")).written == 7
    assert len([*StoredImages(far)]) == 7
    assert is_dataset(far)
    assert not is_dataset(f"{far}-none")
    figures, expected = figures_of(far, None), figures_of(local, None)
    assert (figures.name, figures.tokens, figures.kept) == (far, expected.tokens, expected.kept)
    assert [one.picture for one in figures.most] == [one.picture for one in expected.most]


def test_a_slash_at_the_end_changes_nothing(s3: ObjectStore, made: Path) -> None:
    url = f"{s3.bucket('slashes')}/x.csv"
    far_run.run(made / "in", f"{url}/")
    assert far_run.run(made / "in", f"{url}//") == 7
    assert verify(f"{url}/").damage == []
    assert all(key.count("/") == 2 for key in s3.files("slashes") if "part" in key)
    assert is_dataset(f"{url}/")


def test_what_is_not_there(s3: ObjectStore, far: str) -> None:
    for read in (lambda: verify(f"{far}-x"), lambda: [*read_patch_sets(f"{far}-x")]):
        with pytest.raises(UsageError, match=f"{far}-x (does not exist|is not a dataset)"):
            read()


def test_resuming_asks_for_footers_and_not_for_patches(
    s3_of_session: ObjectStore, s3: ObjectStore, far: str, made: Path
) -> None:
    with faulty_proxy(s3_of_session.endpoint) as proxy:
        with variables(environment_of(proxy.endpoint)):
            far_run.run(made / "in", far)
        asked = [one for one in proxy.asked if "part-0" in one]
    assert {one.split()[0] for one in asked} == {"HEAD", "GET"}
    assert len(asked) <= 4 * 5, asked


def test_an_output_among_the_inputs_is_not_read(s3: ObjectStore, made: Path) -> None:
    inputs = s3.upload(made / "in", "both")
    for _ in range(2):
        result = api.analyze([inputs], output=f"{inputs}/out", workers=api.WorkerOptions(workers=0))
        assert result.summary.inputs == 7
        assert result.summary.skipped == 0
    assert verify(f"{inputs}/out", data=True).damage == []


def test_a_dataset_is_updated(s3: ObjectStore, made: Path, tmp_path: Path) -> None:
    copytree(made / "in", tmp_path / "in")
    url = s3.bucket("updated")
    words = ["analyze", str(tmp_path / "in"), "-o", url, "--update"]
    assert pixelprune(*words).returncode == 3
    small_run.mend(tmp_path / "in")
    (tmp_path / "in" / "8.png").write_bytes((tmp_path / "in" / "0.png").read_bytes())
    done = pixelprune(*words)
    assert done.returncode == 0, done.stderr
    assert verify(url, data=True).damage == []
    stats, patches = far_run.rows_of(url)
    assert [row["status"] for row in stats] == ["ok"] * 9
    assert [row["image_id"] for row in patches] == [row["image_id"] for row in stats]


def test_ids_of_many_row_groups_keep_their_order(s3: ObjectStore, made: Path, monkeypatch) -> None:
    monkeypatch.setattr(table_writers, "ROW_GROUP_BYTES", 1)
    rows = list(read_patch_rows(str(made / "out" / "patches" / "part-00000.parquet")))
    config = small_run.OPTIONS.as_config()
    url = f"{s3.bucket('groups')}/a.parquet"
    new = place_of(url).new_file()
    with table_writers.ParquetRowWriter(new.file, FileMetadata("patches", config)) as writer:
        names = [f"{number}.png" for number in range(67)]
        for name in names:
            writer.add(replace(rows[0], image_id=name))
    new.finish()
    new.put_in_place()
    new.discard()
    assert read_image_ids(place_of(url), "patches", config) == names
