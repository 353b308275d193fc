"""Zip archives, made by zipfile and by hand, are listed and read within limits."""

import random
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppcli.errors import UsageError
from ppcli.inputs.refs import identity
from tests.inputs.containers.images import listing_of, members, png

NAMES = ["b.png", "a/x.jpg", "a.png"]


@pytest.fixture
def archive(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("a.zip")


def write(path: Path, names: list[str], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for number, name in enumerate(names):
            archive.writestr(name, png(number))


def expected(names: list[str]) -> list[tuple[str, bytes]]:
    return [(f"a.zip::{name}", png(number)) for number, name in enumerate(names)]


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_members_come_in_the_order_of_the_archive(archive, method) -> None:
    write(archive, NAMES, method)
    assert members(archive) == expected(NAMES)


def test_other_members_are_skipped_and_counted_hidden_ones_only_skipped(archive) -> None:
    with zipfile.ZipFile(archive, "w") as writer:
        writer.mkdir("folder")
        for name in (".hidden.png", "__MACOSX/._a.png", "a/.git/b.png", "./c.png", "../up.png"):
            writer.writestr(name, png())
        writer.writestr("notes.txt", "no image")
        writer.writestr("inner.zip", archive.read_bytes())
        writer.writestr("signature-only", png(1))
    listing = listing_of(archive)
    assert [ref.image_id for ref in listing] == [
        "a.zip::./c.png",
        "a.zip::../up.png",
        "a.zip::signature-only",
    ]
    assert listing.skipped == 2


def test_patterns_match_the_paths_of_members(archive) -> None:
    write(archive, NAMES)
    assert [name for name, _ in members(archive, include=("*.png",))] == [
        "a.zip::b.png",
        "a.zip::a.png",
    ]
    assert [name for name, _ in members(archive, include=("a/*",))] == ["a.zip::a/x.jpg"]
    assert [name for name, _ in members(archive, exclude=("a*",))] == [
        "a.zip::b.png",
        "a.zip::a/x.jpg",
    ]
    assert len(members(archive, limit=2)) == 2


def test_an_archive_in_a_folder_is_entered_and_keeps_its_place(archive) -> None:
    Path("in").mkdir()
    write(Path("in/b.zip"), ["y.png"])
    for name in ("a.png", "c.png"):
        Path("in", name).write_bytes(png())
    assert [name for name, _ in members("in")] == ["a.png", "b.zip::y.png", "c.png"]
    assert [name for name, _ in members("in", include=("y*",))] == ["b.zip::y.png"]
    assert [name for name, _ in members("in", include=("b.z*",))] == ["b.zip::y.png"]
    assert members("in", include=("b.z*",), exclude=("y*",)) == []
    assert [name for name, _ in members("in", exclude=("*.zip",))] == ["a.png", "c.png"]
    assert [name for name, _ in members("in/*.zip")] == ["in/b.zip::y.png"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_repeated_and_odd_names_have_identities_of_their_own(archive) -> None:
    names = ["x.png", "x.png", "a::b.png", "p.pdf#3", "/abs.png", "é.png", "x.png", "c\\x41.png"]
    write(archive, names)
    found = members(archive)
    assert [name.removeprefix("a.zip::") for name, _ in found] == [
        *("x.png", "x.png~2", "a::b.png", "p.pdf\\x233", "/abs.png", "é.png", "x.png~3"),
        "c\\\\x41.png",
    ]
    assert [content for _, content in found] == [png(number) for number in range(len(names))]
    for name, content in found:
        assert members(name) == [(name, content)]
    assert members("a.zip::p.pdf#3") == [found[3]]


def test_names_without_the_mark_of_utf_8_are_those_of_zipfile(archive) -> None:
    write(archive, ["u.png"])
    raw = archive.read_bytes().replace(b"u.png", b"\x81.png")
    archive.write_bytes(raw)
    with zipfile.ZipFile(archive) as reader:
        assert reader.namelist() == ["ü.png"]
    assert members(archive) == [("a.zip::ü.png", png())]


def test_names_that_are_no_utf_8_are_kept(archive) -> None:
    write(archive, ["éü.png"])
    archive.write_bytes(archive.read_bytes().replace("éü".encode(), b"\xc3\xff\xfe\xff"))
    assert members(archive) == [("a.zip::\\xc3\\xff\\xfe\\xff.png", png())]
    assert members("a.zip::\\xc3\\xff\\xfe\\xff.png") == members(archive)


@given(st.lists(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=30)))
def test_any_names_become_different_identities(tmp_path_factory, names) -> None:
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    names = [f"{name}.png" for name in names if not name.startswith(".") and name != "__MACOSX"]
    names = [
        name
        for name in names
        if len(name.encode("utf-8", "surrogatepass")) == len(name.encode("utf-8", "ignore"))
    ]
    unique = list(dict.fromkeys(names))
    write(path, unique)
    found = [ref.image_id for ref in listing_of(path)]
    assert found == [f"{identity(str(path))}::{identity(name)}" for name in unique]
    assert len(set(found)) == len(unique)
    path.unlink()


def test_damaged_members_are_errors_of_their_own(archive) -> None:
    write(archive, ["a.png", "b.png", "c.png"], zipfile.ZIP_STORED)
    raw = bytearray(archive.read_bytes())
    raw[raw.index(png(1)) + 50] ^= 1
    archive.write_bytes(raw)
    assert members(archive) == [
        ("a.zip::a.png", png(0)),
        ("a.zip::b.png", "corrupt"),
        ("a.zip::c.png", png(2)),
    ]


def change(archive: Path, name: str, place: int, packed: bytes) -> None:
    """Change a field in the entry of a member, counted from its beginning, and in its header."""
    raw = bytearray(archive.read_bytes())
    entry = raw.index(b"PK\1\2")
    while raw[entry + 46 : entry + 46 + len(name)] != name.encode():
        entry = raw.index(b"PK\1\2", entry + 1)
    raw[entry + place : entry + place + len(packed)] = packed
    archive.write_bytes(raw)


def test_encrypted_members_and_unknown_methods_are_errors(archive) -> None:
    write(archive, ["a.png", "b.png", "c.png"])
    change(archive, "a.png", 8, struct.pack("<H", 1))
    change(archive, "b.png", 10, struct.pack("<H", 9))
    assert members(archive) == [
        ("a.zip::a.png", "encrypted"),
        ("a.zip::b.png", "unsupported_format"),
        ("a.zip::c.png", png(2)),
    ]


def test_a_member_larger_than_its_header_says_is_not_unpacked(archive) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr("a.png", bytes(100 << 20))
        writer.writestr("b.png", png())
    change(archive, "a.png", 24, struct.pack("<L", 1000))
    tracemalloc.start()
    try:
        assert members(archive) == [("a.zip::a.png", "corrupt"), ("a.zip::b.png", png())]
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_members_beyond_the_limit_and_overlapping_ones_are_refused(archive) -> None:
    write(archive, ["a.png", "b.png", "c.png"])
    change(archive, "a.png", 24, struct.pack("<L", (1 << 30) + 1))
    change(archive, "c.png", 42, struct.pack("<L", 3))
    assert [content for _, content in members(archive)] == ["too_large", png(1), "corrupt"]
    raw = archive.read_bytes()
    second = struct.unpack_from("<L", raw, raw.rindex(b"b.png") - 4)[0]
    change(archive, "c.png", 42, struct.pack("<L", second + 40))
    assert [content for _, content in members(archive)] == ["too_large", png(1), "corrupt"]


def test_zip64_descriptors_and_prepended_bytes_are_read(archive) -> None:
    class Unseekable:
        def __init__(self, path: Path) -> None:
            self._file = path.open("wb")
            self.write, self.flush, self.close = (
                self._file.write,
                self._file.flush,
                self._file.close,
            )

    stream = Unseekable(archive)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as writer:  # type: ignore[arg-type]
        for number, name in enumerate(NAMES):
            with writer.open(name, "w", force_zip64=True) as member:
                member.write(png(number))
    stream.close()
    assert members(archive) == expected(NAMES)
    archive.write_bytes(b"#!/bin/sh\n" * 100 + archive.read_bytes())
    assert members(archive) == expected(NAMES)
    raw = archive.read_bytes()
    lost = raw[1000 : raw.index(b"PK\1\2")]
    archive.write_bytes(lost)
    assert members(archive) == [*expected(NAMES), ("a.zip", "truncated")]


def test_large_archives_have_a_record_of_their_own(archive, monkeypatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    write(archive, NAMES, zipfile.ZIP_STORED)
    assert b"PK\6\6" in archive.read_bytes()
    assert members(archive) == expected(NAMES)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_cut_archive_gives_the_members_before_the_cut(archive, method) -> None:
    write(archive, NAMES, method)
    raw = archive.read_bytes()
    third = raw.index(b"PK\3\4", raw.index(b"PK\3\4", 1) + 1)
    archive.write_bytes(raw[: third + 60])
    assert members(archive) == [*expected(NAMES)[:2], ("a.zip", "truncated")]


def test_a_directory_damaged_half_way_gives_the_members_before(archive) -> None:
    write(archive, NAMES)
    raw = bytearray(archive.read_bytes())
    raw[raw.rindex(b"PK\1\2")] = 0
    archive.write_bytes(raw)
    assert members(archive) == [*expected(NAMES)[:2], ("a.zip", "corrupt")]


def test_what_is_no_archive_is_one_error(archive) -> None:
    cut = b"PK\3\4" + bytes(40)
    faults = ((b"", "empty"), (b"text", "corrupt"), (png(), "corrupt"), (cut, "truncated"))
    for content, code in faults:
        archive.write_bytes(content)
        assert members(archive) == [("a.zip", code)]
    with zipfile.ZipFile(archive, "w"):
        pass
    assert members(archive) == []


def test_volumes_are_refused_in_words(archive) -> None:
    write(archive, NAMES)
    raw = bytearray(archive.read_bytes())
    raw[-18:-14] = struct.pack("<2H", 1, 1)
    archive.write_bytes(raw)
    assert members(archive) == [("a.zip", "unsupported_format")]
    [ref] = listing_of(archive)
    with pytest.raises(Exception, match="several volumes; join them"):
        ref.file.open()


@pytest.mark.parametrize("seed", range(60))
def test_any_damage_ends_in_rows(archive, seed) -> None:
    rng = random.Random(seed)
    write(archive, NAMES, rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]))
    raw = bytearray(archive.read_bytes())
    for _ in range(rng.randint(1, 12)):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    archive.write_bytes(raw[: rng.randint(1, len(raw))] if rng.random() < 0.3 else raw)
    for ref in listing_of(archive, include=("*",)):
        try:
            ref.file.open().close()
        except Exception as error:
            assert getattr(error, "code", None), error


def test_a_missing_member_is_a_usage_error(archive) -> None:
    write(archive, NAMES)
    with pytest.raises(UsageError, match=r"a\.zip::none\.png: its container has no member"):
        listing_of("a.zip::none.png")
    with pytest.raises(UsageError, match="no such file or folder"):
        listing_of("b.zip::a.png")
    assert members("a.zip::a/x.jpg") == [("a.zip::a/x.jpg", png(1))]
    assert listing_of("a.zip::a.png").is_one_file
    assert not listing_of("a.zip").is_one_file


def test_an_archive_that_changes_after_listing_is_noticed(archive) -> None:
    write(archive, NAMES)
    refs = list(listing_of(archive))
    write(archive, [*NAMES, "more.png"])
    with pytest.raises(Exception, match="changed since it was listed"):
        refs[0].file.open()


def test_a_file_whose_name_looks_like_a_member_has_another_identity(archive) -> None:
    Path("in").mkdir()
    write(Path("in/a.zip"), ["b.png"])
    Path("in/a.zip::b.png").write_bytes(png(7))
    assert members("in") == [("a.zip::b.png", png()), ("a.zip\\x3a\\x3ab.png", png(7))]
    assert members("in/a.zip::b.png") == [("in/a.zip\\x3a\\x3ab.png", png(7))]
