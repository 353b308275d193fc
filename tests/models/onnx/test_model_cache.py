"""Model directories at URLs, and their copies in the cache of this machine."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from filelock import FileLock

from ppcli.errors import ModelError, PixelpruneError, UsageError
from ppcli.filesystems.store_faults import FaultKind, StoreError
from ppcli.models.onnx.directory import MANIFEST, SMALL_MODEL, ModelDirectory, ModelManifest
from ppcli.models.onnx.model_cache import cache_folder, open_model
from ppcli.store.atomic import file_digest
from tests.faulty_proxy import FaultyProxy, faulty_proxy
from tests.hub_server import hub_server
from tests.image_server import image_server
from tests.object_store import ObjectStore, environment_of, variables
from tests.processes import surroundings
from tests.sftp_server import sftp_server

_BUCKETS = count()
_BIG = "vision.onnx.data"
_BIG_PIECES = 2
_OPEN = """
import sys
from ppcli.models.onnx.model_cache import open_model
print(open_model(sys.argv[1]).folder)
"""
_KILLED = """
import os, signal
from ppcli.models.onnx import model_cache
def pieces_of(url, state):
    for piece in whole(url, state):
        yield piece[:1000]
        if url.endswith("decoder.onnx.data"):
            os.kill(os.getpid(), signal.SIGKILL)
        yield piece[1000:]
whole, model_cache.pieces_of = model_cache.pieces_of, pieces_of
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the copies, which does not exist yet."""
    monkeypatch.setenv("PIXELPRUNE_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == str(tmp_path / "cache" / "models")
    return Path(cache_folder())


def uploaded(store: ObjectStore, folder: Path) -> str:
    """Upload a model directory; return its URL."""
    return store.upload(folder, f"model-{next(_BUCKETS)}")


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with few weights, which can be opened, and not run."""
    folder = tmp_path_factory.mktemp("light") / "model"
    shutil.copytree(SMALL_MODEL, folder)
    for path in folder.glob("*.data"):
        os.truncate(path, 50_000)
    return described(folder)


def described(folder: Path) -> Path:
    """Let the manifest say what the files are now."""
    manifest = ModelManifest.read(str(folder))
    manifest.files = {name: file_digest(str(folder / name)) for name in manifest.files}
    manifest.write(str(folder))
    return folder


@pytest.fixture
def url(s3: ObjectStore, light: Path) -> str:
    """The URL of the light model."""
    return uploaded(s3, light)


@pytest.fixture
def heavy_url(s3: ObjectStore) -> str:
    """The URL of the small model."""
    return uploaded(s3, Path(SMALL_MODEL))


@pytest.fixture
def proxy(s3: ObjectStore) -> Iterator[FaultyProxy]:
    """A proxy before the store, which counts what is asked."""
    with faulty_proxy(s3.endpoint) as proxy, variables(environment_of(proxy.endpoint)):
        yield proxy


def got(proxy: FaultyProxy) -> Counter[str]:
    """How often each file was asked for, by name."""
    return Counter(one.rpartition("/")[2] for one in proxy.asked if one.startswith("GET"))


def copies(cache: Path) -> list[str]:
    """The names of what is in the cache, but for locks."""
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


def changed(light: Path, folder: Path) -> Path:
    """Another model: a copy of the light one with another file."""
    shutil.copytree(light, folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_length": 77}))
    return described(folder)


def assert_same(folder: str, original: Path) -> None:
    """A copy has the files that the manifest of a model names, and nothing else."""
    named = ModelManifest.read(str(original)).files
    assert sorted(os.listdir(folder)) == sorted([*named, MANIFEST])
    for name in os.listdir(folder):
        assert Path(folder, name).read_bytes() == (original / name).read_bytes(), name


def test_a_model_is_copied_once_and_is_the_local_one(
    heavy_url: str, proxy: FaultyProxy, cache: Path
) -> None:
    model = open_model(f"{heavy_url}/")
    assert_same(model.folder, Path(SMALL_MODEL))
    assert model.identity == ModelDirectory.open(SMALL_MODEL).identity
    assert got(proxy)[_BIG] == _BIG_PIECES
    assert "MODEL_CARD.md" not in got(proxy), "the manifest does not name it"
    before = got(proxy)
    assert open_model(heavy_url).folder == model.folder
    assert got(proxy) - before == {MANIFEST: 1}
    assert copies(cache) == [Path(model.folder).name]
    if os.name == "posix":
        modes = [path.stat().st_mode & 0o77 for path in (cache, *cache.rglob("*"))]
        assert not any(modes)


def test_the_same_model_at_another_url_is_not_copied_again(
    s3: ObjectStore, url: str, light: Path, proxy: FaultyProxy
) -> None:
    first = open_model(url)
    proxy.asked.clear()
    assert open_model(uploaded(s3, light)).folder == first.folder
    assert got(proxy) == {MANIFEST: 1}


def test_a_model_that_was_replaced_is_copied_anew(
    s3: ObjectStore, url: str, light: Path, tmp_path: Path, cache: Path
) -> None:
    first = open_model(url)
    other = changed(light, tmp_path / "other")
    for path in other.iterdir():
        s3.client.put_object(Bucket=url[5:], Key=path.name, Body=path.read_bytes())
    second = open_model(url)
    assert second.identity == ModelDirectory.open(str(other)).identity != first.identity
    assert len(copies(cache)) == 2


def test_processes_that_ask_at_once_copy_once(
    heavy_url: str, proxy: FaultyProxy, cache: Path
) -> None:
    proxy.latency = 0.05
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", _OPEN, heavy_url],
            stdout=subprocess.PIPE,
            env=surroundings() | {"PIXELPRUNE_CACHE": str(where)},
        )
        for where in (cache.parent, cache.parent, cache.parent, cache.parent / "own")
    ]
    folders = [one.communicate()[0].decode().strip() for one in starts]
    assert [one.returncode for one in starts] == [0] * 4
    assert len(set(folders)) == 2
    for folder in folders:
        assert_same(folder, Path(SMALL_MODEL))
    asked = got(proxy)
    assert asked[MANIFEST] == 4
    assert asked[_BIG] == 2 * _BIG_PIECES, "once for each of the two caches"


def killed(url: str) -> None:
    """Open a model in a process that is killed while it copies."""
    command = [sys.executable, "-c", _KILLED + _OPEN, url]
    done = subprocess.run(command, check=False, env=surroundings())
    assert done.returncode == -signal.SIGKILL


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_what_a_killed_process_leaves_is_no_model_and_is_removed(
    s3: ObjectStore, url: str, light: Path, tmp_path: Path, cache: Path
) -> None:
    other = uploaded(s3, changed(light, tmp_path / "other"))
    killed(other)
    [left] = copies(cache)
    killed(url)
    [partial] = copies(cache)
    assert left.endswith(".partial")
    assert partial.endswith(".partial")
    assert left != partial
    busy = cache / "0123.partial"
    busy.mkdir()
    with FileLock(cache / "0123.lock"):
        model = open_model(url)
    assert_same(model.folder, light)
    assert copies(cache) == sorted([Path(model.folder).name, busy.name])
    assert open_model(other).identity != model.identity
    assert busy.name not in copies(cache)


@pytest.mark.parametrize("damage", ["shorter", "missing", "more", "manifest", "a file"])
def test_a_damaged_copy_is_made_again(url: str, light: Path, cache: Path, damage: str) -> None:
    folder = Path(open_model(url).folder)
    match damage:
        case "shorter":
            os.truncate(folder / _BIG, 1000)
        case "missing":
            (folder / "tokenizer.json").unlink()
        case "more":
            (folder / "tokenizer_config.json").write_text("{}")
        case "manifest":
            (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes().replace(b"0", b"1"))
        case "a file":
            shutil.rmtree(folder)
            folder.write_bytes(b"")
    assert open_model(url).folder == str(folder)
    assert_same(str(folder), light)
    assert copies(cache) == [folder.name]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (_BIG, None, f"{_BIG} is missing; upload the model directory again"),
        (_BIG, b"short", f"{_BIG} has 5 bytes, but 50,000 were exported; upload"),
        ("config.json", b"flip", "config.json has other content than was exported; upload"),
        (MANIFEST, b"<html>", f"{MANIFEST} cannot be read: Expecting value"),
        (MANIFEST, b"[]", f"{MANIFEST} is not a JSON object"),
        (MANIFEST, b"{}", " was exported by pixelprune (unknown), which this version cannot read"),
        (MANIFEST, bytes(17 << 20), f"{MANIFEST} has more than 16,777,216 bytes"),
    ],
)
def test_damage_in_the_store(
    s3: ObjectStore, url: str, cache: Path, name: str, content: bytes | None, sentence: str
) -> None:
    if content is None:
        s3.client.delete_object(Bucket=url[5:], Key=name)
    else:
        if content == b"flip":
            content = Path(SMALL_MODEL, name).read_bytes().replace(b"}", b"{", 1)
        s3.client.put_object(Bucket=url[5:], Key=name, Body=content)
    with pytest.raises(ModelError, match=re.escape(sentence)) as raised:
        open_model(url)
    assert url in str(raised.value)
    assert not cache.exists() or copies(cache) == []


def test_a_manifest_cannot_name_files_elsewhere(s3: ObjectStore, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("../x", "/etc/x", "", ".."):
        ModelManifest("a", "float32", files={name: (0, "")}).write(str(folder))
        with pytest.raises(ModelError, match="not a file in the same folder"):
            open_model(uploaded(s3, folder))
    assert not os.path.exists(cache_folder())


def test_what_is_no_model_directory(s3: ObjectStore) -> None:
    url = s3.bucket("no-model", {"x/config.json": b"{}"})
    with pytest.raises(
        ModelError, match=f"{url}/x is not a model directory: it has no {MANIFEST}; u"
    ):
        open_model(f"{url}/x")
    with pytest.raises(StoreError, match="there is no such bucket"):
        open_model("s3://nowhere-at-all/model")
    with pytest.raises(PixelpruneError, match="s3://"):
        open_model("s3://")
    with pytest.raises(UsageError, match=r"Did you mean 's3'\?"):
        open_model("s33://bucket/model")


def test_a_store_that_refuses(url: str, proxy: FaultyProxy) -> None:
    proxy.every, proxy.faults = 1, iter(["denied"] * 9)
    with pytest.raises(StoreError, match=f"{url}/{MANIFEST}: access is denied") as raised:
        open_model(url)
    assert raised.value.kind is FaultKind.DENIED


def test_faults_that_pass(s3: ObjectStore, url: str, light: Path) -> None:
    with (
        faulty_proxy(s3.endpoint, every=3) as proxy,
        variables(environment_of(proxy.endpoint)),
    ):
        assert_same(open_model(url).folder, light)
    assert proxy.failed > 3


def test_a_cache_that_cannot_be_written(url: str, cache: Path) -> None:
    cache.parent.write_bytes(b"")
    with pytest.raises(ModelError, match=f"{url} cannot be copied into the cache {cache}: Not a d"):
        open_model(url)


def test_a_model_that_is_larger_than_the_disk(s3: ObjectStore, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "model").mkdir()
    ModelManifest("a", "float32", files={_BIG: (1 << 60, "")}).write(str(tmp_path / "model"))
    with pytest.raises(ModelError, match="1,152,921,504,606,846,976 bytes do not fit on the disk"):
        open_model(uploaded(s3, tmp_path / "model"))
    assert copies(cache) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of file sizes")
def test_a_disk_that_is_full(url: str, cache: Path) -> None:
    limited = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (40_000,) * 2)\n"
    done = subprocess.run(
        [sys.executable, "-c", limited + _OPEN, url],
        check=False,
        env=surroundings(),
        capture_output=True,
    )
    told = f"ModelError: {url} cannot be copied into the cache {cache}: File too large; PIXELPRUNE"
    assert told in done.stderr.decode()
    assert copies(cache) == []


def test_a_model_on_a_server_of_sftp(
    light: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with sftp_server(light.parent, tmp_path / "home") as url:
        assert_same(open_model(f"{url}model").folder, light)
        with pytest.raises(ModelError, match=r"sftp://…@.* is not a model directory") as raised:
            open_model(f"{url}nothing")
    assert "secret" not in str(raised.value)


def test_a_model_on_the_hub(light: Path) -> None:
    with hub_server(light.parent) as server:
        done = subprocess.run(  # the address of the hub is read when a program starts
            [sys.executable, "-c", _OPEN, "hf://datasets/me/pages/model"],
            check=True,
            env=surroundings() | server.environment,
            stdout=subprocess.PIPE,
        )
    assert_same(done.stdout.decode().strip(), light)
    assert server.sent < 1.1 * sum(path.stat().st_size for path in light.iterdir())


def test_a_model_on_a_web_server(light: Path) -> None:
    with image_server() as server:
        for path in light.iterdir():
            server.files[f"m/{path.name}"] = path.read_bytes()
        model = open_model(f"{server.url}/m/?sign=secret")
        assert_same(model.folder, light)
        assert all(one.endswith("?sign=secret") for one in server.asked)
        server.files["m/config.json"] += b" "
        shutil.rmtree(model.folder)
        with pytest.raises(ModelError, match=r"/m/config.json has 2,152 bytes, but") as raised:
            open_model(f"{server.url}/m?sign=secret")
    assert "secret" not in str(raised.value)
