"""Containers in object stores and on web servers give what local ones give."""

import io
import tarfile
import threading
import zipfile
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.attaching import Attaching
from ppcli.inputs.ahead import reading_ahead
from tests.inputs.containers.images import listing_of, members, png
from tests.object_store import ObjectStore

_NUMBERS = count()
KINDS = ["c.zip", "c.tar", "c.tar.gz", "c.tar.zst", "c.parquet", "names.parquet"]


@pytest.fixture(scope="module")
def containers() -> dict[str, bytes]:
    images = {f"{number}.png": png(number) for number in range(5)}
    plain, packed, zipped, table, names = (io.BytesIO() for _ in range(5))
    for file, mode in ((plain, "w"), (packed, "w:gz")):
        with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
            for name, content in images.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in images.items():
            archive.writestr(name, content)
        archive.writestr("notes.txt", "words")
    pq.write_table(pa.table({"image": list(images.values())}), table, row_group_size=2)
    pq.write_table(pa.table({"image": list(images)}), names)
    return {
        "c.zip": zipped.getvalue(),
        "c.tar": plain.getvalue(),
        "c.tar.gz": packed.getvalue(),
        "c.tar.zst": zstandard.compress(plain.getvalue()),
        "c.parquet": table.getvalue(),
        "names.parquet": names.getvalue(),
        **images,
    }


@pytest.fixture
def local(containers, tmp_path, monkeypatch) -> Path:
    for name, content in containers.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bucket(s3: ObjectStore, containers) -> str:
    return s3.bucket(f"containers-{next(_NUMBERS)}", containers)


@pytest.mark.parametrize("name", KINDS)
def test_containers_in_a_bucket(local, bucket, name) -> None:
    expected = members(name)
    assert [one[1] for one in expected] == [png(number) for number in range(5)]
    assert members(f"{bucket}/{name}") == [(f"{bucket}/{one}", data) for one, data in expected]
    with (
        Arrivals(iter(listing_of(f"{bucket}/{name}"))) as arrivals,
        closing(Attaching(arrivals)) as attaching,
    ):
        refs = []
        for ref in attaching:
            refs.append(ref)
            attaching.finished()
    with reading_ahead(ref.file for ref in refs if ref.file.is_far) as ahead:
        for ref, (_, data) in zip(refs, expected, strict=True):
            assert ref.file.is_far == ahead.has_begun((ref.file,))
            with ref.file.open() as file:
                assert file.read() == data
                assert file.state == ref.file.state()
    first = f"{bucket}/{expected[0][0]}"
    assert members(first) == [(first, png(0))]


def test_a_folder_of_containers_in_a_bucket(local, bucket) -> None:
    assert members(bucket) == members(str(local))
    assert listing_of(bucket).repeatable


@pytest.mark.parametrize("name", KINDS[:-1])
def test_containers_in_memory_carry_their_members(containers, local, name) -> None:
    url = f"memory://containers/{name}"
    with fsspec.open(url, "wb") as file:
        file.write(containers[name])
    assert [data for _, data in members(url)] == [png(number) for number in range(5)]
    with Arrivals(iter(listing_of(url))) as arrivals, closing(Attaching(arrivals)) as attaching:
        for number, ref in enumerate(attaching):
            with ref.file.open() as opened:
                assert opened.read() == png(number)
            attaching.finished()


def test_a_container_that_changes_after_listing_is_noticed(s3, containers, bucket) -> None:
    refs = list(listing_of(f"{bucket}/c.tar"))
    s3.client.put_object(
        Bucket=bucket.partition("//")[2], Key="c.tar", Body=containers["c.tar"] * 2
    )
    with pytest.raises(Exception, match="changed"):
        refs[0].file.open()


@pytest.mark.parametrize("name", KINDS)
def test_containers_on_a_web_server_that_knows_no_parts(local, name) -> None:
    handler = partial(_Quiet, directory=str(local))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/{name}"
            assert [data for _, data in members(url)] == [png(number) for number in range(5)]
            signed = members(f"{url}?sign=secret/1")
            assert [data for _, data in signed] == [png(number) for number in range(5)]
            assert "secret" not in str([name for name, _ in signed])
        finally:
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Write nothing."""


def test_a_data_set_in_a_store_names_no_files_of_this_machine(s3: ObjectStore, local) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"image": [str(local / "0.png"), "0.png"]}), file)
    (local / "d.parquet").write_bytes(file.getvalue())
    assert [content for _, content in members("d.parquet")] == [png(0)] * 2
    url = s3.bucket("names-of-files", {"d.parquet": file.getvalue(), "0.png": png(0)})
    assert [content for _, content in members(f"{url}/d.parquet")] == ["not_found", png(0)]
