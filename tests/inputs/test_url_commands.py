"""Commands over URLs: in memory, on a web server, and other commands than `analyze`."""

import json
from pathlib import Path

import fsspec
import pytest

from ppcli.errors import ExitCode
from tests.command import pixelprune
from tests.image_server import image_server
from tests.inputs.test_faulty_stores import rows
from tests.object_store import ObjectStore


@pytest.mark.parametrize("workers", ["0", "2"])
def test_files_in_memory_reach_the_workers(folder: Path, workers: str) -> None:
    fs = fsspec.filesystem("memory")
    for path in sorted(folder.rglob("*.*")):
        fs.pipe(f"/in-memory/{path.relative_to(folder).as_posix()}", path.read_bytes())
    local = pixelprune("analyze", folder, "-o", "-")
    remote = pixelprune("analyze", "memory://in-memory", "-o", "-", "--workers", workers)
    assert rows(remote.stdout) == rows(local.stdout)


def test_files_on_a_web_server_need_no_option(folder: Path) -> None:
    with image_server() as server:
        server.files["a.png"] = (folder / "a.png").read_bytes()
        urls = [f"{server.url}/{name}" for name in ("a.png", "flaky", "403", "html", "nothing.png")]
        done = pixelprune("analyze", *urls, "-o", "-", "--workers", "2")
    found = rows(done.stdout)
    assert done.returncode == ExitCode.INPUTS_FAILED
    assert [row["image_id"] for row in found] == urls
    codes = [None, None, "unreadable", "not_an_image", "not_found"]
    assert [row["error_code"] for row in found] == codes


def test_a_query_of_a_web_server_is_neither_a_pattern_nor_shown(folder: Path) -> None:
    with image_server() as server:
        server.files["a.png"] = (folder / "a.png").read_bytes()
        url = f"{server.url}/a.png?width=2*3&sign=secret[1]"
        done = pixelprune("analyze", url, "-o", "-")
    assert done.returncode == ExitCode.OK
    assert server.asked == [f"/a.png?{url.partition('?')[2]}"]
    assert b"secret" not in done.stdout + done.stderr
    refused = pixelprune("analyze", "https://me:secret@host/a.png", "-o", "-")
    assert json.loads(refused.stdout)["error_code"] == "not_found"
    assert b"secret" not in refused.stdout + refused.stderr


def test_view_draws_images_of_a_bucket(s3: ObjectStore, folder: Path, tmp_path: Path) -> None:
    url = s3.upload(folder, "viewed")
    done = pixelprune("view", url, "-o", tmp_path / "drawn")
    assert done.returncode == ExitCode.INPUTS_FAILED
    local = pixelprune("view", folder, "-o", tmp_path / "local")
    assert local.returncode == done.returncode
    names = [
        {path.relative_to(tmp_path / name).as_posix() for path in (tmp_path / name).rglob("*.png")}
        for name in ("drawn", "local")
    ]
    assert names[0] == names[1] != set()


def test_a_run_over_a_bucket_is_resumed_from_the_listing(
    s3: ObjectStore, folder: Path, tmp_path: Path
) -> None:
    url = s3.upload(folder, "resumed")
    options = ("-o", tmp_path / "out", "--no-patches")
    first = pixelprune("analyze", url, *options)
    assert first.returncode == ExitCode.INPUTS_FAILED
    assert pixelprune("analyze", url, *options).returncode == ExitCode.INPUTS_FAILED
    s3.client.put_object(Bucket="resumed", Key="a.png", Body=(folder / "b.jpg").read_bytes())
    refused = pixelprune("analyze", url, *options)
    assert refused.returncode == ExitCode.OUTPUT
    assert b"a.png" in refused.stderr
