"""Inputs in object stores: the same files, in the same order, and with the same names as local."""

import io
import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ppcli.errors import ErrorCode, ImageError, UsageError
from ppcli.filesystems.store_faults import StoreError
from ppcli.inputs.listing import Listing
from ppcli.inputs.object_file import ObjectFile
from ppcli.inputs.refs import ImageRef
from tests.faulty_proxy import faulty_proxy
from tests.object_store import ObjectStore, environment_of, variables

_NUMBERS = count()
_NAMES = st.text("ab!-. #~é\u4e2d", min_size=1, max_size=3).filter(
    lambda name: name not in (".", "..")
)
_PATHS = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)


def _png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    return file.getvalue()


PNG = _png()


def _tree(paths: list[str]) -> dict[str, bytes]:
    """Return a file for each path that is not a folder of another one, some of them no images."""
    kept = [one for one in paths if not any(other.startswith(f"{one}/") for other in paths)]
    return {
        f"{one}{'.png' if number % 3 == 0 else ''}": PNG if number % 2 == 0 else b"text"
        for number, one in enumerate(dict.fromkeys(kept))
    }


def _write(folder: Path, tree: dict[str, bytes]) -> None:
    for path, content in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _ids(*inputs: str, **options: object) -> tuple[list[str], int]:
    listing = Listing(inputs, **options)  # type: ignore[arg-type]
    listing.check()
    return [ref.image_id for ref in listing], listing.skipped


def _is_possible(tree: dict[str, bytes]) -> bool:
    """Return whether no name is a file and a folder, which a local folder cannot have."""
    return not any(other.startswith(f"{one}/") for one in tree for other in tree)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("trees")


@settings(max_examples=50)
@given(st.lists(_PATHS, min_size=1, max_size=12).map(_tree).filter(_is_possible))
def test_memory_is_listed_in_the_order_of_local_folders(
    folders: Path, tree: dict[str, bytes]
) -> None:
    name = f"tree-{next(_NUMBERS)}"
    _write(folders / name, tree)
    fsspec.filesystem("memory").pipe({f"/{name}/{path}": one for path, one in tree.items()})
    for pattern in ("", "/**", "/*", "/**/*.png", "/*/*", "/a*/**"):
        local = str(folders / name) + pattern
        far = f"memory://{name}{pattern}"
        try:
            found, skipped = _ids(local)
        except UsageError:
            with pytest.raises(UsageError):
                _ids(far)
            continue
        again = [one.replace(str(folders), "memory:/", 1) for one in found]
        assert _ids(far) == (again, skipped)


def test_s3_is_listed_in_the_order_of_local_folders(s3: ObjectStore, tmp_path: Path) -> None:
    names = ["a", "a-b", "a.b", "b!", "b/c", "b/c-d/e", "b/c/d", "b-1/x", ".h/x", "é/x", "a b/#1"]
    tree = {f"{name}/{file}.png": PNG for name in names for file in ("1", "10", "2", ".x", "a")}
    tree |= {f"{name}.png": PNG for name in names} | {f"b/{n}.png": PNG for n in range(30)}
    _write(tmp_path / "in", tree)
    url = s3.upload(tmp_path / "in", "order")
    local, _ = _ids(str(tmp_path / "in"))
    assert len(local) > 50
    assert _ids(url)[0] == local
    assert _ids(f"{url}/")[0] == local
    for pattern in ("/b/**/*.png", "/b/*", "/*/1*.png", "/[ab]*", "/a b/#1/*"):
        found, skipped = _ids(f"{tmp_path}/in{pattern}")
        again = [one.replace(f"{tmp_path}/in", url, 1) for one in found]
        assert _ids(url + pattern) == (again, skipped)


def test_a_long_listing_has_several_pages(s3: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from ppcli.filesystems import s3_requests

    url = s3.bucket(
        "pages", {f"{name}.png": PNG for name in ("a-1", "a-2", "a/b", "a/c", "b", "c")}
    )
    whole = _ids(url)
    assert whole[0] == ["a/b.png", "a/c.png", "a-1.png", "a-2.png", "b.png", "c.png"]
    real = s3_requests.list_page

    async def small(fs: object, bucket: str, prefix: str, token: str | None, most: int = 2):
        return await real(fs, bucket, prefix, token, min(most, 2))  # type: ignore[arg-type]

    monkeypatch.setattr(s3_requests, "list_page", small)
    assert _ids(url) == whole


def test_options_apply_to_stores(s3: ObjectStore) -> None:
    tree = {"a.png": PNG, "b.jpg": PNG, "c/a.png": PNG, "c/x.png": PNG, "notes.txt": b"no image"}
    url = s3.bucket("options", tree)
    assert _ids(url) == (["a.png", "b.jpg", "c/a.png", "c/x.png"], 1)
    assert _ids(url, include=("*.jpg",)) == (["b.jpg"], 0)
    assert _ids(url, exclude=("c",))[0] == ["a.png", "b.jpg"]
    assert _ids(url, limit=2)[0] == ["a.png", "b.jpg"]
    assert _ids(f"{url}/c", f"{url}/a.png")[0] == [
        f"{url}/c/a.png",
        f"{url}/c/x.png",
        f"{url}/a.png",
    ]


def test_images_without_an_extension_are_found_by_their_signature(s3: ObjectStore) -> None:
    url = s3.bucket("signatures", {"image": PNG, "empty": b"", "text": b"x" * 200_000})
    assert _ids(url) == (["image"], 2)


def test_heads_are_read_once_and_only_of_chosen_files(s3: ObjectStore) -> None:
    tree = {f"{number:02d}": PNG if number % 3 else b"text" for number in range(60)}
    tree |= {"a.json": b"{}", "b.png": PNG, "c.txt": b"text", "sub/d": PNG}
    far = s3.bucket("heads", tree)
    with faulty_proxy(s3.endpoint) as proxy, variables(environment_of(proxy.endpoint)):
        found, skipped = _ids(far, exclude=("*.json", "1*"))
    expected = [name for name in tree if not name.startswith("1") and tree[name] == PNG]
    assert found == expected
    assert skipped == 18
    got = [one.rpartition("/")[2] for one in proxy.asked if one.startswith("GET /heads/")]
    assert sorted(got) == sorted(
        name for name in ("d", *tree) if name[0] not in "1ab" and "/" not in name
    )


def test_empty_objects_that_stand_for_folders_are_no_inputs(s3: ObjectStore) -> None:
    url = s3.bucket("markers", {"a/": b"", "a/b/": b"", "a/b/c.png": PNG, "d/": b""})
    assert _ids(url) == (["a/b/c.png"], 0)
    assert _ids(f"{url}/a") == (["b/c.png"], 0)


def test_an_empty_bucket_has_no_inputs(s3: ObjectStore) -> None:
    assert _ids(s3.bucket("empty")) == ([], 0)


def test_pictures_that_view_drew_are_skipped(s3: ObjectStore) -> None:
    tree = {"a.png": PNG, "drawn/.pixelprune-view": b"", "drawn/sub/b.png": PNG}
    url = s3.bucket("drawn", tree)
    assert _ids(url)[0] == ["a.png", "drawn/sub/b.png"]  # it does not carry the mark of `view`


def test_what_is_missing_is_a_usage_error(s3: ObjectStore) -> None:
    url = s3.bucket("missing", {"a.png": PNG})
    for one in (f"{url}/b.png", f"{url}/nothing/", f"{url}/a.pn"):
        with pytest.raises(UsageError, match="no such file or folder"):
            _ids(one)
    with pytest.raises(UsageError, match="no file matches"):
        _ids(f"{url}/*.jpg")
    with pytest.raises(StoreError, match="there is no such bucket"):
        _ids("s3://missing-bucket/x")


def test_lists_name_urls_and_lie_at_urls(s3: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "local.png").write_bytes(PNG)
    url = s3.bucket("lists", {"a.png": PNG, "f/b.png": PNG})
    names = [
        f"{url}/a.png",
        str(tmp_path / "local.png"),
        f"{url}/f/",
        "s9://x/y",
        f"{url}/none.png",
    ]
    s3.client.put_object(Bucket="lists", Key="list", Body="\0".join(names).encode())
    listing = Listing((), files0_from=f"{url}/list")
    listing.check()
    refs = list(listing)
    assert [ref.image_id for ref in refs] == [*names[:2], f"{url}/f/b.png", *names[3:]]
    assert [_error(ref) for ref in refs] == [None, None, None, *[ErrorCode.NOT_FOUND] * 2]
    assert Listing((), files0_from=f"{url}/list").repeatable
    assert [ref.image_id for ref in Listing(("-",), stdin=io.BytesIO(url.encode()))] == [
        f"{url}/a.png",
        f"{url}/f/b.png",
    ]
    with pytest.raises(UsageError, match="is an image"):
        Listing((), files0_from=f"{url}/a.png").check()


def _error(ref: ImageRef) -> ErrorCode | None:
    try:
        ref.file.open().close()
    except ImageError as error:
        return error.code
    return None


def test_an_object_is_read_with_its_state(s3: ObjectStore) -> None:
    url = s3.bucket("states", {"a.png": PNG})
    (ref,) = Listing((url,))
    with ref.file.open() as opened:
        assert opened.read() == PNG
        assert opened.state == ref.file.state()
    unlisted = ObjectFile(f"{url}/a.png")
    assert unlisted == ref.file
    assert unlisted.state() == ref.file.state()


def test_a_changed_object_gives_its_newer_bytes_and_their_state(s3: ObjectStore) -> None:
    """Like a local file: an open file has the state of the bytes that it has."""
    url = s3.bucket("changes", {"a.png": PNG})
    (ref,) = Listing((url,))
    s3.client.put_object(Bucket="changes", Key="a.png", Body=PNG[::-1])
    with ref.file.open() as opened:
        assert opened.read() == PNG[::-1]
        assert opened.state != ref.file.state()
        assert opened.state == ObjectFile(f"{url}/a.png").state()


def test_a_large_object_is_read_in_parts(s3: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ppcli.filesystems.objects.WHOLE_BYTES", 1000)
    content = os.urandom(300_000)
    url = s3.bucket("large", {"a.png": content})
    for listed in (None, ObjectFile(f"{url}/a.png").state()):
        with ObjectFile(f"{url}/a.png", listed).open() as opened:
            assert opened.read(10) == content[:10]
            opened.seek(-5, os.SEEK_END)
            assert opened.read() == content[-5:]
            assert opened.past_end is False or opened.read() == b""
            opened.seek(0)
            assert opened.read() == content


def test_a_large_object_that_changes_meanwhile_is_noticed(
    s3: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ppcli.filesystems.objects.WHOLE_BYTES", 1000)
    url = s3.bucket("large-change", {"a.png": bytes(300_000)})
    with ObjectFile(f"{url}/a.png").open() as opened:
        s3.client.put_object(Bucket="large-change", Key="a.png", Body=os.urandom(300_000))
        with pytest.raises(OSError, match="changed while it was being read"):
            opened.read()
