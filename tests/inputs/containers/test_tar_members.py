"""Tar archives, plain and compressed, made by tarfile, webdataset and by hand."""

import gzip
import io
import random
import tarfile
import tracemalloc
from copy import copy
from pathlib import Path

import pytest
import webdataset
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ppcli.errors import ImageError
from ppcli.inputs.containers import tar_streams
from ppcli.inputs.refs import identity
from tests.inputs.containers.images import listing_of, members, png

NAMES = ["b.png", "a/x.jpg", "a.png"]
KINDS = ["a.tar", "a.tar.gz", "a.tgz", "a.tar.zst"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tar_of(names: list[str], **options: object) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **options) as archive:  # type: ignore[call-overload]
        for number, name in enumerate(names):
            add(archive, name, png(number))
    return file.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def compressed(name: str, content: bytes) -> bytes:
    if name.endswith("zst"):
        return zstandard.compress(content)
    return content if name.endswith(".tar") else gzip.compress(content)


def write(name: str, content: bytes) -> str:
    Path(name).write_bytes(compressed(name, content))
    return name


def expected(archive: str, names: list[str]) -> list[tuple[str, bytes]]:
    return [(f"{archive}::{name}", png(number)) for number, name in enumerate(names)]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_come_in_the_order_of_the_archive(name, kind) -> None:
    long = "long/" * 18 + "name.png" if kind == tarfile.USTAR_FORMAT else "é" * 300 + ".png"
    names = [*NAMES, long, "./c.png", "../up.png", "x::y.png", "p.pdf#3"]
    write(name, tar_of(names, format=kind))
    found = members(name)
    assert [one for one, _ in found] == [f"{name}::{identity(one)}" for one in names]
    assert [content for _, content in found] == [png(number) for number in range(len(names))]
    for one in found:
        assert members(one[0]) == [one]


@pytest.mark.parametrize("name", KINDS)
def test_samples_of_webdataset(name) -> None:
    if name.endswith("zst"):
        stream = io.BytesIO()
        writer = webdataset.TarWriter(stream)
    else:
        writer = webdataset.TarWriter(name, compress=not name.endswith(".tar"))
    for number in range(3):
        sample = {"__key__": f"k{number}", "png": png(number), "txt": "words", "json": {"n": 1}}
        writer.write(sample)
    writer.close()
    if name.endswith("zst"):
        write(name, stream.getvalue())
    listing = listing_of(name)
    refs = list(listing)
    assert [ref.image_id for ref in refs] == [f"{name}::k{number}.png" for number in range(3)]
    assert [ref.file.open().read() for ref in refs] == [png(number) for number in range(3)]
    assert listing.skipped == 6


@pytest.mark.parametrize("name", KINDS)
def test_links_and_devices_are_no_inputs(name) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
            info = tarfile.TarInfo(f"{ord(kind)}.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        add(archive, "a.png", png())
        add(archive, ".hidden.png", png())
    write(name, file.getvalue())
    listing = listing_of(name)
    assert [ref.image_id for ref in listing] == [f"{name}::a.png"]
    assert listing.skipped == 3


@pytest.mark.parametrize("name", KINDS)
def test_names_that_are_no_utf_8_and_repeated_ones(name) -> None:
    names = ["\udcff.png", "x.png", "x.png"]
    raw = tar_of(names, format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape")
    write(name, raw)
    found = members(name)
    assert [one.removeprefix(f"{name}::") for one, _ in found] == ["\\xff.png", "x.png", "x.png~2"]
    assert members(found[2][0]) == [(found[2][0], png(2))]


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))))
def test_any_names_are_kept(tmp_path_factory, stems) -> None:
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    names = list(dict.fromkeys(f"n{stem}.png" for stem in stems if "/." not in stem))
    path.write_bytes(tar_of(names))
    found = [ref.image_id.partition(".tar::")[2] for ref in listing_of(path, exclude=())]
    assert found == [identity(name) for name in names if "__MACOSX" not in name.split("/")]
    assert len(set(found)) == len(found)
    path.unlink()


@pytest.mark.parametrize("name", KINDS)
def test_a_cut_archive_gives_the_members_before_the_cut(name) -> None:
    raw = tar_of(NAMES)
    packed = compressed(name, raw if name.endswith(".gz") else raw.rstrip(b"\0"))
    Path(name).write_bytes(packed[: len(packed) * 2 // 3])
    found = members(name)
    whole = expected(name, NAMES)
    assert found[-1] == (name, "truncated")
    before = [one for one in found[:-1] if not isinstance(one[1], str)]
    assert before == whole[: len(before)]
    assert len(found) - len(before) <= 2
    if name.endswith(".tar"):
        for end in (512, 1024, 1536, raw.index(b"a/x.jpg"), 2048):
            Path(name).write_bytes(raw[:end])
            assert members(name)[-1] == (name, "truncated")


@pytest.mark.parametrize("name", KINDS)
def test_a_wrong_checksum_of_a_header_ends_the_archive_with_an_error(name) -> None:
    raw = bytearray(tar_of(NAMES))
    raw[raw.rindex(b"a.png") + 1] ^= 1
    write(name, bytes(raw))
    assert members(name) == [*expected(name, NAMES)[:2], (name, "corrupt")]


def test_a_wrong_checksum_of_gzip_is_an_error_after_the_members() -> None:
    raw = bytearray(compressed("a.tar.gz", tar_of(NAMES)))
    raw[-6] ^= 1
    Path("a.tar.gz").write_bytes(raw)
    assert members("a.tar.gz") == [*expected("a.tar.gz", NAMES), ("a.tar.gz", "corrupt")]


@pytest.mark.parametrize("name", KINDS)
def test_what_is_no_archive_is_one_error(name) -> None:
    for content in (b"text" * 1000, png() * 9):
        Path(name).write_bytes(content)
        assert members(name) == [(name, "corrupt")]
        write(name, content)
        assert members(name) == [(name, "corrupt")]
    write(name, b"")
    assert members(name) == [(name, "empty")]
    write(name, bytes(10240))
    assert members(name) == []


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_sizes_beyond_reason_are_refused(name) -> None:
    raw = bytearray(tar_of(["a.png", "b.png"], format=tarfile.GNU_FORMAT))
    info = tarfile.TarInfo("b.png")
    info.size = 8 << 60
    second = raw.index(b"b.png")
    raw[second : second + 512] = info.tobuf(tarfile.GNU_FORMAT)
    write(name, bytes(raw))
    found = members(name)
    assert found[0] == (f"{name}::a.png", png())
    assert found[1][1] in ("truncated", "too_large")
    assert found[2] == (name, "truncated")


def test_negative_sizes_and_large_headers_do_not_go_on_for_ever() -> None:
    for headers in ({"size": "-2048"}, {"comment": "x" * (2 << 20)}):
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as archive:
            add(archive, "a.png", png())
            info = tarfile.TarInfo("b.png")
            info.pax_headers = headers
            archive.addfile(info)
        write("a.tar", raw.getvalue())
        assert members("a.tar") == [("a.tar::a.png", png()), ("a.tar", "corrupt")]


def test_a_stream_that_unpacks_to_terabytes_is_left(monkeypatch) -> None:
    monkeypatch.setattr(tar_streams, "_LARGE", 20 << 20)
    info = tarfile.TarInfo("zeros.bin")
    info.size = 1 << 40
    head = tar_of(["a.png"]).rstrip(b"\0")
    head += bytes(-len(head) % 512)
    with gzip.open("a.tar.gz", "wb") as file:
        file.write(head + info.tobuf())
        for _ in range(64):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    try:
        assert members("a.tar.gz") == [("a.tar.gz::a.png", png()), ("a.tar.gz", "too_large")]
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", KINDS)
def test_sparse_members_are_refused_in_words(name) -> None:
    info = tarfile.TarInfo("a.png")
    info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "99"}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        archive.addfile(info)
    write(name, raw.getvalue())
    assert members(name) == [(f"{name}::a.png", "unsupported_format")]


@pytest.mark.parametrize("seed", range(80))
def test_any_damage_ends_in_rows(seed) -> None:
    rng = random.Random(seed)
    name = rng.choice(KINDS)
    raw = bytearray(compressed(name, tar_of(NAMES, format=rng.choice([0, 1, 2]))))
    for _ in range(rng.randint(1, 12)):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    Path(name).write_bytes(raw[: rng.randint(1, len(raw))] if rng.random() < 0.3 else raw)
    for ref in listing_of(name):
        try:
            ref.file.open().close()
        except ImageError as error:
            assert error.code != "internal"


def test_compressed_archives_are_not_counted_ahead() -> None:
    write("a.tar", tar_of(NAMES))
    write("b.tar.gz", tar_of(NAMES))
    assert sum(1 for _ in copy(listing_of("a.tar"))) == 3
    with pytest.raises(OSError):
        list(copy(listing_of("a.tar", "b.tar.gz")))
