"""Names as people hand them over, against files that are there."""

import codecs
import io
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from ppcli.errors import UsageError
from ppcli.inputs.image_fields import ImageFolder
from ppcli.inputs.listing import Listing
from ppcli.inputs.names import names_in, path_of
from ppcli.inputs.questions import QuestionFile
from ppcli.inputs.refs import escape_name, identity
from ppcli.inputs.requests import parse_request
from tests.command import pixelprune


@pytest.fixture
def tree(tmp_path: Path, monkeypatch) -> Path:
    """Images and other files, in folders of which some have magic in their names."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "data/a.png",
        "data/sub/b.png",
        "data/sub/deep/c.png",
        "data/thumbs/d.png",
        "data/.hidden/e.png",
        "shots[1]/f.png",
        "shots[1]/g.png",
        "shots1/h.png",
        "what?/i.png",
        "j[1].png",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 9)).save(path)
    for name in ("data/notes.txt", "data/sub/readme.md"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "data/link").symlink_to(tmp_path / "shots1")
    (tmp_path / "data/loop").symlink_to(tmp_path / "data")
    return tmp_path


def paths(*inputs: str, **options: object) -> list[str]:
    listing = Listing(inputs, **options)  # type: ignore[arg-type]
    listing.check()
    return [ref.file.name for ref in listing]


WALKED = ["data/a.png", "data/sub/b.png", "data/sub/deep/c.png", "data/thumbs/d.png"]


@pytest.mark.parametrize(
    "pattern", ["data/**", "data/**/", "data/**/*", "data/**/*.png", "dat?/**"]
)
def test_two_stars_count_each_file_once(tree: Path, pattern: str) -> None:
    """And no text files, no hidden ones, nothing behind links: as a walk of the folder does."""
    found = [os.path.normpath(path) for path in paths(pattern)]
    assert (
        sorted(found) == sorted(os.path.normpath(path) for path in paths("data", "j[1].png"))[:-1]
    )
    assert sorted(found) == WALKED


def test_two_stars_count_what_they_pass_over(tree: Path) -> None:
    for pattern, skipped in {"data/**": 2, "data/**/*": 2, "data/**/*.png": 0}.items():
        listing = Listing((pattern,))
        assert len(list(listing)) == 4
        assert listing.skipped == skipped


@pytest.mark.parametrize("pattern", ["data/**", "data/**/*.png", "data/**/*"])
def test_two_stars_heed_what_is_included_and_excluded(tree: Path, pattern: str) -> None:
    def names(**options: object) -> list[str]:
        return [os.path.basename(path) for path in paths(pattern, **options)]

    assert names(exclude=("thumbs",)) == ["a.png", "b.png", "c.png"]
    assert names(exclude=("sub/deep",)) == ["a.png", "b.png", "d.png"]
    assert names(include=("b.*", "c.*")) == ["b.png", "c.png"]
    assert names(avoid=str(tree / "data/sub")) == ["a.png", "d.png"]


def test_one_star_names_what_it_matches(tree: Path) -> None:
    """Text files too, as a shell would name them."""
    assert "data/notes.txt" in paths("data/*")
    assert paths("data/*.txt") == ["data/notes.txt"]


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ("shots[1]/*.png", ["shots[1]/f.png", "shots[1]/g.png"]),
        ("shots[1]", ["shots[1]/f.png", "shots[1]/g.png"]),
        ("shots[1]/**", ["shots[1]/f.png", "shots[1]/g.png"]),
        ("what?/*.png", ["what?/i.png"]),
        ("j[1].png", ["j[1].png"]),
        ("j[1].*", ["j[1].png"]),
        ("shots[12]/*.png", ["shots1/h.png"]),
    ],
)
def test_a_name_that_exists_is_no_pattern(tree: Path, given_: str, wanted: list[str]) -> None:
    assert paths(given_) == wanted
    assert paths(str(tree / given_)) == [str(tree / path) for path in wanted]


def test_brackets_in_what_is_included(tree: Path) -> None:
    Image.new("L", (9, 9)).save(tree / "shots1" / "k[2].png")
    assert paths("shots1", include=("k[2].png",)) == ["shots1/k[2].png"]
    assert paths("shots1", exclude=("k[2].png",)) == ["shots1/h.png"]


def listed(data: bytes, separator: bytes = b"\n") -> list[str]:
    return list(names_in(io.BytesIO(data), separator))


@pytest.mark.parametrize(
    "data",
    [
        b"a.png\nb \xc3\xa4.png\n",
        b"a.png\r\nb \xc3\xa4.png\r\n",
        b"\xef\xbb\xbfa.png\r\nb \xc3\xa4.png",
        "a.png\r\nb ä.png\r\n".encode("utf-16"),
        b"\xfe\xff" + "a.png\nb ä.png\n".encode("utf-16-be"),
        b"\n\r\na.png\n\nb \xc3\xa4.png\r\n\r\n",
    ],
)
def test_lists_of_other_systems(data: bytes) -> None:
    assert listed(data) == ["a.png", "b ä.png"]


def test_lists_with_nul(tmp_path: Path) -> None:
    assert listed(b"a\r\0b\nc\0\0d", b"\0") == ["a\r", "b\nc", "d"]
    assert listed(b"\xef\xbb\xbfa\0", b"\0") == ["a"]
    assert listed(b"") == listed(b"\xef\xbb\xbf") == listed(b"\xff\xfe") == []


def test_a_name_that_ends_in_a_carriage_return(tree: Path) -> None:
    (tree / "odd\r").touch()
    assert listed(b"odd\r\nother\r\n") == ["odd\r", "other"]


def test_a_list_that_only_begins_like_another_encoding() -> None:
    for data in (b"\xff\xfea\0b\0\x00\xd8x\0", b"\xff\xfea\0b"):
        with pytest.raises(UsageError, match="UTF-16"):
            listed(data)


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="file names are UTF-8 there")
def test_a_name_may_begin_as_another_encoding_does(tree: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.png")
    (tree / name).touch()
    assert listed(b"\xff\xfe.png\nother.png\n") == [name, "other.png"]
    assert listed(b"\xff\xfe.png\0other.png\0", b"\0") == [name, "other.png"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_come_as_they_are_written(encoding: str) -> None:
    """However short they are, and in whatever pieces."""
    read, write = os.pipe()
    with open(read, "rb", buffering=0) as file, open(write, "wb", buffering=0) as pipe:
        names = names_in(file, b"\n")
        encode = codecs.getincrementalencoder(encoding)().encode
        for name in ("a", "b"):
            for byte in encode(f"{name}\n"):
                pipe.write(bytes([byte]))
            assert next(names) == name


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0\n\r", exclude_categories=["Cs"]), min_size=1)
    ),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from(["\n", "\r\n"]),
)
@example(["\ufeffa"], "utf-8-sig", "\n")
def test_names_come_back_from_any_list(names: list[str], encoding: str, end: str) -> None:
    text = "".join(name + end for name in names)
    if encoding == "utf-8" and text.startswith("\ufeff"):
        text = "x" + text[1:]
    assert listed(text.encode(encoding)) == [line for line in text.split(end) if line]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///tmp/a%20b.png", "/tmp/a b.png"),
        ("file://localhost/tmp/a.png", "/tmp/a.png"),
        ("FILE:///tmp/%C3%A4.png", "/tmp/ä.png"),
        ("file:///tmp/%ff.png", os.fsdecode(b"/tmp/\xff.png")),
        ("file:/tmp/a.png", "/tmp/a.png"),
        ("file:///tmp/a#1.png", "/tmp/a#1.png"),
        ("file:///tmp/a?b.png", "/tmp/a?b.png"),
        ("file:////tmp/a.png", "//tmp/a.png"),
        ("file:a.png", "file:a.png"),
        ("/tmp/file.png", "/tmp/file.png"),
        ("https://example.org/a.png", "https://example.org/a.png"),
    ],
)
def test_urls_of_files(url: str, path: str) -> None:
    assert path_of(url) == path


def test_a_url_of_another_machine(tree: Path) -> None:
    with pytest.raises(UsageError, match="another machine"):
        path_of("file://server/a.png")
    done = pixelprune("analyze", "-", "-o", "-", stdin=b"file://server/a.png\nj[1].png\nfile://[\n")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["error_code"] for row in rows] == ["not_found", None, "not_found"]
    assert [row["image_id"] for row in rows] == ["file://server/a.png", "j[1].png", "file://["]
    assert "is on another machine (server)" in rows[0]["error_message"]
    with pytest.raises(UsageError, match="has no path"):
        path_of("file://")


@pytest.mark.skipif(sys.platform == "win32", reason="a colon in a name")
def test_a_file_that_is_called_like_a_url(tree: Path, monkeypatch) -> None:
    (tree / "file:").mkdir()
    (tree / "file:" / "a%20b.png").touch()
    assert path_of("file:///a%20b.png") == "file:///a%20b.png"


def test_urls_wherever_files_are_named(tree: Path) -> None:
    url = (tree / "data/sub/b.png").as_uri()
    path = str(tree / "data/sub/b.png")
    assert paths(url) == [path]
    assert [ref.image_id for ref in Listing((url,))] == [path]
    assert paths((tree / "shots[1]").as_uri()) == [f"{tree}/shots[1]/{name}.png" for name in "fg"]
    assert Listing((url,)).is_one_file
    for separator, inputs in ((b"\n", ("-",)), (b"\0", ())):
        stdin = io.BytesIO(url.encode() + separator)
        files0_from = None if inputs else "-"
        assert [ref.file.name for ref in Listing(inputs, files0_from, stdin=stdin)] == [path]
    line = f'{{"prompt": "?", "image": "{url}"}}'.encode()
    [image] = parse_request(line, 1, ImageFolder("elsewhere")).images
    assert (image.file.name, image.image_id) == (path, path)
    fault = parse_request(line.replace(b"file://", b"file://server"), 1, ImageFolder("")).fault
    assert "another machine" in fault
    (tree / "q.jsonl").write_text(f'{{"image": "{url}", "question": "?", "answers": "!"}}')
    [question] = QuestionFile(str(tree / "q.jsonl"))
    assert question.image.file.name == path


def test_no_two_files_have_one_identity(tree: Path) -> None:
    """Of the case that failed: pages of a file beside files that are called as its pages."""
    folder = tree / "ids"
    folder.mkdir()
    pages = [Image.new("L", (9, 9), level) for level in (10, 20)]
    pages[0].save(folder / "m.tif", save_all=True, append_images=pages[1:])
    for name in ("m.tif#1", "m.tif#2", "m.tif\\x231"):
        Image.new("L", (9, 9)).save(folder / name, "PNG")
    done = pixelprune("analyze", folder, "-o", "-", "--format", "csv")
    assert done.returncode == 0, done.stderr
    ids = [line.split(",")[0].strip('"') for line in done.stdout.decode().splitlines()[1:]]
    assert ids == ["m.tif#1", "m.tif#2", r"m.tif\x231", r"m.tif\x232", r"m.tif\\x231"]
    done = pixelprune("analyze", folder, "-o", tree / "out")
    assert done.returncode == 0
    assert pixelprune("verify", tree / "out", "--data").returncode == 0
    assert pixelprune("reconstruct", tree / "out", "--to", tree / "png").returncode == 0
    assert len(list((tree / "png").iterdir())) == 5


tricky = st.lists(
    st.sampled_from(["a", "#", "1", "\\", "x23", "\\x23", "#1", "/", "ä", "\udcff", "\\\\", "2"])
).map("".join)


@given(tricky, tricky)
@example("a#1", "a\\x231")
@example("a\udcff#1", "a\\xff#1")
@example("a\\b#1", "a\\\\b#1")
def test_identities_tell_names_apart(one: str, other: str) -> None:
    """Also from the pages of any file."""
    assert (identity(one) == identity(other)) == (one == other)
    for page in (1, 12):
        assert identity(other) != f"{identity(one)}#{page}"
    identity(one).encode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("separator", ["\n", "\0"])
def test_a_name_longer_than_any_system_takes_is_shortened(encoding: str, separator: str) -> None:
    """It was gone through once for each of its blocks: 20 MB took six seconds."""
    long = ["a" * 5_000_000, "b" + "é" * 2_000_000, "b" + "é" * 2_000_000 + "x"]
    names = ["first.png", *long, "", "last.png", "z" * 70_000]
    listed = separator.join(names).encode(encoding)
    found = list(names_in(io.BytesIO(listed), separator.encode()))
    assert [found[0], found[4]] == ["first.png", "last.png"]
    assert len(found) == len(set(found)) == 6, "different names stay different"
    assert all(len(one) < 300 for one in found)
    assert found[1].startswith("aaaa") and "5,000,000 bytes" in found[1]
    assert found[1:4] == [identity(one) for one in long], "as where it is named otherwise"


@pytest.mark.parametrize("length", [5_000_000, 4_097 if sys.platform != "win32" else 33_000])
def test_a_long_name_costs_one_row(length: int, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    listed = f"{'n' * length}\n{tmp_path / 'a.png'}\n".encode()
    done = pixelprune("analyze", "-", "-o", "-", "--workers", "0", stdin=listed)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["error_code"] for row in rows] == ["not_found", None] or length < 5_000
    assert [row["status"] for row in rows] == ["error", "ok"]
    assert all(len(rows[0][name]) < 400 for name in ("image_id", "path", "error_message"))


def test_long_names_elsewhere_are_shortened_too() -> None:
    long = ["x" * 100_000 + end for end in ("", ".png", "#1", "\udcff")]
    for make in (identity, escape_name):
        shown = [make(one) for one in long]
        assert len(set(shown)) == 4
        assert all(len(one.encode()) < 300 for one in shown)
    longest = "x" * 4_000
    assert identity(longest) == longest
