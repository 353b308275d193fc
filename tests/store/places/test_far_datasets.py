"""Datasets in a store of objects: what they have, and how they survive a kill at any request."""

import os
import re
import signal
import sys
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import polars
import pyarrow.fs
import pyarrow.parquet as pq
import pytest

from ppcli.errors import OutputError
from ppcli.filesystems import changes
from ppcli.store.dataset import dataset_output
from ppcli.store.places.place import place_of
from ppcli.store.places.spooled_file import SpooledFile
from ppcli.store.verify import verify
from tests.object_store import ObjectStore
from tests.store import small_run
from tests.store.places import far_run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
_BUCKETS = count()
KILLED = -signal.SIGKILL
slow = partial(pytest.param, marks=pytest.mark.slow)


def buckets(store: ObjectStore, steps: range) -> str:
    """Make a bucket for each step; return the URL of them, with {} for the step."""
    name = f"far-{next(_BUCKETS)}-{{}}"
    for step in steps:
        store.bucket(name.replace("{}", str(step)))
    return f"s3://{name}"


def test_a_dataset_in_a_store_is_that_on_a_disk(s3: ObjectStore, made: Path) -> None:
    url = s3.bucket("equal")
    assert far_run.run(made / "in", url) == 0
    far_run.assert_whole(s3, "equal", made / "out")
    assert far_run.run(made / "in", url) == 7
    far_run.assert_whole(s3, "equal", made / "out")


def test_a_killed_run_is_resumed(s3: ObjectStore, made: Path) -> None:
    steps = range(10, 30, 15)
    url = buckets(s3, steps)
    assert far_run.killed(s3, made / "in", url, steps) == [KILLED] * len(steps)
    for step in steps:
        here = url.replace("{}", str(step))
        far_run.run(made / "in", here)
        far_run.assert_whole(s3, here.removeprefix("s3://"), made / "out")


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_request_is_resumed(s3: ObjectStore, made: Path) -> None:
    steps = range(50)
    url = buckets(s3, steps)
    codes = far_run.killed(s3, made / "in", url, steps)
    last = codes.index(0)
    assert codes == [KILLED] * last + [0] * (len(codes) - last)
    assert last > 40
    before = set()
    for step in steps:
        here = url.replace("{}", str(step))
        before.add(far_run.run(made / "in", here))
        far_run.assert_whole(s3, here.removeprefix("s3://"), made / "out")
    assert before == {0, 2, 4, 5, 7}


def copied(store: ObjectStore, source: str, steps: range) -> str:
    """Copy the dataset in a bucket into one bucket for each step; return their URL."""
    url = buckets(store, steps)
    for key, content in store.files(source).items():
        for step in steps:
            bucket = url.removeprefix("s3://").replace("{}", str(step))
            store.client.put_object(Bucket=bucket, Key=key, Body=content)
    return url


@pytest.mark.slow
@pytest.mark.parametrize("how", ["retry", "overwrite"])
def test_a_run_that_replaces_is_killed_at_any_request(
    s3: ObjectStore, tmp_path: Path, how: str
) -> None:
    inputs = small_run.make_inputs(tmp_path / "in")
    far_run.run(inputs, s3.bucket(f"before-{how}"))
    before = far_run.rows_of(f"s3://before-{how}")
    small_run.mend(inputs)
    small_run.run(inputs, tmp_path / "made")
    steps = range(0, 70, 3)
    url = copied(s3, f"before-{how}", steps)
    codes = far_run.killed(s3, inputs, url, steps, how)
    assert set(codes) == {KILLED, 0}
    assert codes.index(0) > 6
    for step in steps:
        here = url.replace("{}", str(step))
        if how == "retry":
            far_run.run(inputs, here)
            assert far_run.rows_of(here) in (before, small_run.rows_of(tmp_path / "made"))
        far_run.run(inputs, here, how)
        far_run.assert_whole(s3, here.removeprefix("s3://"), tmp_path / "made")


def test_failed_inputs_are_tried_again(s3: ObjectStore, tmp_path: Path) -> None:
    inputs = small_run.make_inputs(tmp_path / "in")
    url = f"{s3.bucket('again')}"
    far_run.run(inputs, url)
    small_run.mend(inputs)
    assert far_run.run(inputs, url, "retry") == 6
    small_run.run(inputs, tmp_path / "made")
    far_run.assert_whole(s3, "again", tmp_path / "made")


def test_another_configuration_and_other_inputs_are_refused(s3: ObjectStore, made: Path) -> None:
    url = s3.bucket("others")
    far_run.run(made / "in", url)
    before = s3.files("others")
    other = small_run.OPTIONS.as_config() | {"threshold": 0.5}
    with (
        pytest.raises(OutputError, match="made with another configuration"),
        dataset_output(url, other),
    ):
        pass
    with pytest.raises(OutputError, match=r"was made from other inputs.*--overwrite"):
        small_run.run(made / "in" / "2.png", url)  # type: ignore[arg-type]
    with (
        pytest.raises(OutputError, match="contains an earlier run"),
        dataset_output(url, small_run.OPTIONS.as_config(), resume=False),
    ):
        pass
    assert s3.files("others") == before
    s3.bucket("foreign", {"out/a.txt": b"mine"})
    with pytest.raises(OutputError, match="contains files that are not a dataset"):
        far_run.run(made / "in", "s3://foreign/out")
    assert s3.files("foreign") == {"out/a.txt": b"mine"}


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("stats/part-00001.parquet", _flipped, "stats/part-00001.parquet was changed after"),
        slow("patches/part-00002.parquet", _flipped, "part-00002.parquet was changed after"),
        ("patches/part-00000.parquet", lambda content: content[:-9], "was changed after"),
        slow("stats/part-00003.parquet", None, "stats/part-00003.parquet is missing"),
        slow("manifest.json", _flipped, r"manifest\.json"),
    ],
)
def test_damaged_objects_are_found(s3: ObjectStore, made: Path, key: str, change, words) -> None:
    bucket = f"damaged-{next(_BUCKETS)}"
    url = s3.bucket(bucket)
    far_run.run(made / "in", url)
    content = s3.files(bucket)[key]
    s3.client.delete_object(Bucket=bucket, Key=key)
    if change is not None:
        s3.client.put_object(Bucket=bucket, Key=key, Body=change(content))
    [said] = verify(url).damage
    assert re.search(words, said)
    assert f"{url}/{key}" in said
    if not key.startswith("patches") or change is not _flipped:  # the bytes of patches are not read
        with pytest.raises(OutputError, match=words):
            far_run.run(made / "in", url)


def test_foreign_objects_are_found(s3: ObjectStore, made: Path) -> None:
    url = s3.bucket("foreigners")
    far_run.run(made / "in", f"{url}/out")
    s3.client.put_object(Bucket="foreigners", Key="out/stats/x.parquet", Body=b"x")
    assert verify(f"{url}/out").damage == [f"{url}/out/stats/x.parquet is not part of the dataset"]


def test_a_large_object_travels_in_parts_and_appears_whole(s3: ObjectStore, monkeypatch) -> None:
    monkeypatch.setattr(changes, "PART_BYTES", 5 << 20)
    url = s3.bucket("in-parts")
    content = os.urandom(17 << 20)
    seen = []
    for error in (None, OutputError("overtaken"), KeyboardInterrupt()):

        def check(error: BaseException | None = error) -> None:
            seen.append(list(s3.files("in-parts")))
            if error is not None:
                raise error

        new = SpooledFile(f"{url}/a{len(seen)}", check)
        new.file.write(content)
        new.finish()
        if error is None:
            new.put_in_place()
            assert s3.files("in-parts") == {"a0": content}
            assert place_of(f"{url}/a0").digest() == (new.size, new.hexdigest())
        else:
            with pytest.raises(type(error)):
                new.put_in_place()
        new.discard()
    assert seen == [[], ["a0"], ["a0"]]
    assert list(s3.files("in-parts")) == ["a0"]
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket="in-parts")


def test_other_programs_read_it(s3: ObjectStore, made: Path) -> None:
    url = s3.bucket("readers")
    far_run.run(made / "in", url)
    expected = [row["image_id"] for row in small_run.rows_of(made / "out")[0]]
    store = pyarrow.fs.S3FileSystem(
        endpoint_override=s3.endpoint, access_key="key", secret_key="secret", region="us-east-1"
    )
    table = pq.read_table("readers/stats", filesystem=store)
    assert table["image_id"].to_pylist() == expected
    polars_rows = polars.read_parquet(
        f"{url}/stats/*.parquet",
        storage_options={
            "aws_endpoint_url": s3.endpoint,
            "aws_access_key_id": "key",
            "aws_secret_access_key": "secret",
            "aws_region": "us-east-1",
            "aws_allow_http": "true",
        },
    )
    assert polars_rows["image_id"].to_list() == expected
    files = {Path(key).name: content for key, content in s3.files("readers", "stats/").items()}
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        rows = duckdb.sql(f"SELECT image_id FROM '{folder}/*.parquet'").fetchall()
    assert [one for (one,) in rows] == expected
