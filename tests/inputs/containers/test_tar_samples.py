"""Columns of WebDataset samples: the members beside an image."""

import gzip
import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from webdataset.tariterators import group_by_keys, tar_file_iterator

from ppcli.errors import UsageError
from ppcli.inputs.containers import tar_samples
from tests.inputs.containers.images import attached, listing_of, png

ARCHIVES = ["a.tar", "a.tar.gz"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, files: dict[str, bytes]) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for member, content in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    Path(name).write_bytes(gzip.compress(raw.getvalue()) if name.endswith("gz") else raw.getvalue())


@pytest.mark.parametrize("name", ARCHIVES)
def test_samples_that_webdataset_wrote_have_columns(name) -> None:
    samples = [
        {"__key__": f"d/{n}", "cls": n, "json": {"n": n}, "png": png(n), "txt": f"é {n}"}
        for n in range(3)
    ]
    with webdataset.TarWriter(name) as writer:
        for sample in samples:
            writer.write(sample)
    found = attached(name, keep_columns=("txt,cls",))
    expected = [(f"{name}::d/{n}.png", png(n), {"cls": str(n), "txt": f"é {n}"}) for n in range(3)]
    assert found == expected
    assert listing_of(name, keep_columns=("*",)).kept_schema().names == ["cls", "json", "txt"]
    # webdataset's own reader finds the same samples
    with Path(name).open("rb") as file:
        parts = [{**part, "__url__": name} for part in tar_file_iterator(file)]
    read = list(group_by_keys(parts))
    assert [one["txt"].decode() for one in read] == [columns["txt"] for _, _, columns in found]


@pytest.mark.parametrize("name", ARCHIVES)
def test_columns_stay_with_their_sample(name) -> None:
    files = {
        "a.txt": b"of a",
        "a.png": png(1),
        "a.left.png": png(2),
        "b.png": png(3),
        "c.txt": b"of c, which has no image",
        "x/a.png": png(4),
        "x/a.seg.npy": b"\x93\xff",
        "x/a.TXT": b"not UTF-8: \xff",
        "x/.hidden.txt": b"hidden",
        "noext": b"",
    }
    write(name, files)
    found = [(image_id, columns) for image_id, _, columns in attached(name, keep_columns=("*",))]
    assert found == [
        (f"{name}::a.png", {"txt": "of a"}),
        (f"{name}::a.left.png", {"txt": "of a"}),
        (f"{name}::b.png", {}),
        (f"{name}::x/a.png", {"seg.npy": b"\x93\xff", "txt": "not UTF-8: \\xff"}),
    ]


def test_names_that_the_first_sample_lacks_are_refused() -> None:
    write("a.tar", {"a.png": png(), "a.txt": b"", "b.png": png(), "b.json": b"{}"})
    with pytest.raises(UsageError, match="there is no such column; there are txt"):
        listing_of("a.tar", keep_columns=("json",)).kept_schema()
    pq.write_table(pa.table({"image": [png()], "txt": [1]}), "d.parquet")
    with pytest.raises(UsageError, match=r"it is string in a\.tar, but int64 in d\.parquet"):
        listing_of("a.tar", "d.parquet", keep_columns=("txt",)).kept_schema()


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_column_that_is_too_large_is_an_error_row(name, monkeypatch) -> None:
    monkeypatch.setattr(tar_samples, "_MOST_BYTES", 10)
    write(name, {"a.txt": b"x" * 11, "a.png": png(1), "b.txt": b"x" * 10, "b.png": png(2)})
    assert attached(name, keep_columns=("txt",)) == [
        (f"{name}::a.png", "too_large", {}),
        (f"{name}::b.png", png(2), {"txt": "x" * 10}),
    ]


@pytest.mark.parametrize("name", ARCHIVES)
def test_samples_before_damage_are_inputs(name) -> None:
    write(name, {f"{n}.{part}": png(n) for n in range(40) for part in ("png", "txt")})
    whole = Path(name).read_bytes()
    Path(name).write_bytes(whole[: len(whole) // 2])
    found = attached(name, keep_columns=("txt",))
    good = [one for one in found if isinstance(one[1], bytes)]
    assert len(good) > 5
    for image_id, content, columns in good[:-1]:  # the last one may be cut off before its text
        assert isinstance(content, bytes)
        assert columns == {"txt": content.decode("utf-8", "backslashreplace")}, image_id
    assert found[-1][:2] == (name, "truncated")
