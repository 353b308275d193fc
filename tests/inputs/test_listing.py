import io
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ppcli.errors import ExitCode, UsageError
from ppcli.files import LocalFile
from ppcli.inputs.listing import Listing
from ppcli.inputs.marks import DRAWN, FOLDER_MARK, REBUILT
from ppcli.inputs.refs import escape_name
from ppcli.store.png_folder import encode_png

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Names whose bytewise order differs from that of a dictionary; links; hidden entries."""
    for name in ("b.png", "B.png", "a/2.png", "a/10.png", "a.b/x.jpg", "é.png", ".hidden.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)
    (tmp_path / "in" / ".git").mkdir()
    (tmp_path / "in" / ".git" / "c.png").write_bytes(PNG)
    (tmp_path / "in" / "signature-only").write_bytes(PNG)
    (tmp_path / "in" / "readme.txt").write_text("text")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "in"


def ids(*inputs: str, **options) -> list[str]:
    listing = Listing(inputs, **options)
    listing.check()
    return [ref.image_id for ref in listing]


def test_walk_is_bytewise_and_folder_by_folder(tree) -> None:
    expected = ["B.png", "a/10.png", "a/2.png", "a.b/x.jpg", "b.png", "signature-only", "é.png"]
    assert ids("in") == expected


def test_skipped_files_are_counted_anew_each_time(tree) -> None:
    listing = Listing(("in",))
    assert len(list(listing)) == len(list(listing)) == 7
    assert listing.skipped == 1


def test_identity_of_several_inputs_starts_as_given(tree) -> None:
    assert ids("in/a", "./in/b.png") == ["in/a/10.png", "in/a/2.png", "./in/b.png"]
    assert ids("in/a/") == ["10.png", "2.png"]
    assert ids("in/a/", "in/a.b")[0] == "in/a/10.png"


def test_same_names_in_two_folders_stay_apart(tree) -> None:
    (tree / "a.b" / "2.png").write_bytes(PNG)
    found = ids("in")
    assert {"a/2.png", "a.b/2.png"} <= set(found)
    assert len(set(found)) == len(found)


def test_globs_match_in_order_and_name_text_files_too(tree) -> None:
    assert ids("in/*.png") == ["in/B.png", "in/b.png", "in/é.png"]
    assert ids("in/r*") == ["in/readme.txt"]
    assert ids("in/**/2.png") == ["in/a/2.png"]


def test_a_name_that_looks_like_a_glob_is_itself(tree) -> None:
    (tree / "[x].png").write_bytes(PNG)
    assert ids("in/[x].png") == ["in/[x].png"]


def test_links_to_files_are_followed_and_links_to_folders_not(tree) -> None:
    (tree / "a" / "link.png").symlink_to(tree / "b.png")
    (tree / "a" / "dangling.png").symlink_to(tree / "nowhere")
    (tree / "linked").symlink_to(tree / "a", target_is_directory=True)
    assert ids("in/a") == ["10.png", "2.png", "dangling.png", "link.png"]
    assert not any(name.startswith("linked/") for name in ids("in"))
    assert ids("in/linked") == ["10.png", "2.png", "dangling.png", "link.png"]


def test_include_and_exclude_speak_of_walked_files(tree) -> None:
    assert ids("in", include=("*.png",), exclude=("a", "B*")) == ["b.png", "é.png"]
    assert ids("in", exclude=("a/1*",))[1] == "a/2.png"
    assert ids("in/readme.txt", include=("*.png",)) == ["in/readme.txt"]


def test_limit(tree) -> None:
    assert ids("in", limit=2) == ["B.png", "a/10.png"]


@pytest.mark.parametrize(("option", "separator"), [("inputs", b"\n"), ("files0_from", b"\0")])
def test_lists_on_standard_input(tree, option: str, separator: bytes) -> None:
    stdin = io.BytesIO(separator.join([b"in/b.png", b"", b"missing.png", b"in/a"]))
    given = Listing(("-",), stdin=stdin) if option == "inputs" else Listing((), "-", stdin=stdin)
    given.check()
    found = [ref.image_id for ref in given]
    assert found == ["in/b.png", "missing.png", "in/a/10.png", "in/a/2.png"]


def test_a_list_that_cannot_be_read(tree) -> None:
    class Broken(io.BytesIO):
        def read1(self, size: int = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(UsageError, match="Input/output error"):
        list(Listing(("-",), stdin=Broken(b"a")))


def test_a_list_longer_than_a_block(tree) -> None:
    names = [f"folder/{number:06d}.png" for number in range(20_000)]
    (tree / "list").write_bytes(b"\0".join(os.fsencode(name) for name in names))
    assert ids(files0_from="in/list") == names


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="file names are UTF-8 there")
def test_odd_names_survive(tree) -> None:
    for name in (b"with space.png", b"line\nbreak.png", b"byte\xff.png", b"n" * 251 + b".png"):
        (tree / "a.b").joinpath(os.fsdecode(name)).write_bytes(PNG)
    refs = list(Listing(("in/a.b",)))
    assert [ref.image_id for ref in refs] == [
        "byte\\xff.png",
        "line\nbreak.png",
        "n" * 251 + ".png",
        "with space.png",
        "x.jpg",
    ]
    assert all(os.path.isfile(ref.file.name) for ref in refs)


def test_escaped_names_can_be_read_back() -> None:
    assert escape_name("plain\\name é") == "plain\\name é"
    raw = b"a\\b\xff\xc3\xa9"
    escaped = escape_name(os.fsdecode(raw))
    assert escaped == "a\\\\b\\xffé"


@given(
    st.lists(
        st.lists(st.sampled_from([b"\\", b"x", b"ff", b"\xff", b"a", "é".encode()])), max_size=6
    )
)
def test_no_two_names_become_the_same_text(names) -> None:
    raw = {b"".join(name) for name in names}
    assert len({escape_name(os.fsdecode(name)) for name in raw}) == len(raw)


def test_a_name_that_looks_escaped_is_no_other(tree) -> None:
    assert escape_name("a\\xff") == "a\\\\xff"
    assert escape_name(os.fsdecode(b"a\xff")) == "a\\xff"


def test_the_output_is_not_walked(tree) -> None:
    assert not any(name.startswith("a/") for name in ids("in", avoid="in/a"))
    assert any(name.startswith("a/") for name in ids("in"))


def test_a_folder_that_cannot_be_listed_does_not_disappear(tree, monkeypatch) -> None:
    real = os.scandir

    def scandir(path):
        if os.path.basename(path) == "a":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert "a" in ids("in")


def test_the_only_folder_keeps_its_name_when_it_cannot_be_listed(tree, monkeypatch) -> None:
    def scandir(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", scandir)
    assert ids("in") == ["in"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links")
def test_a_link_that_leads_nowhere_costs_no_other_file(tree) -> None:
    os.symlink("loop.png", tree / "a" / "loop.png")
    os.symlink("nowhere", tree / "a" / "lost.png")
    assert ids("in/a") == ["10.png", "2.png", "loop.png", "lost.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_list_may_come_through_a_named_pipe(tree) -> None:
    os.mkfifo("pipe")
    threading.Thread(target=lambda: Path("pipe").write_bytes(b"in/b.png\0in/B.png")).start()
    listing = Listing((), files0_from="pipe")
    listing.check()
    assert not listing.repeatable
    assert [ref.image_id for ref in listing] == ["in/b.png", "in/B.png"]


def test_deep_folders(tmp_path, monkeypatch) -> None:
    here = tmp_path
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):
        os.mkdir("d")
        os.chdir("d")
    with open("x.png", "wb") as file:
        file.write(PNG)
    os.chdir(here)
    assert len(ids(".")) == 1
    while os.path.isdir("d"):  # pytest's own clean-up recurses
        os.rename("d", "e")
        if os.path.isdir("e/d"):
            os.rename("e/d", "d")
        else:
            os.unlink("e/x.png")
        os.rmdir("e")


@pytest.mark.parametrize(
    ("inputs", "options", "words"),
    [
        ((), {}, "no inputs"),
        (("missing",), {}, "missing: no such file"),
        (("in/*.bmp",), {}, "no file matches"),
        (("-", "-"), {}, "only once"),
        (("-",), {"files0_from": "-"}, "only once"),
        ((), {"files0_from": "missing"}, "no such list"),
        ((), {"files0_from": "in"}, "is a folder"),
    ],
)
def test_what_cannot_be_meant_is_refused(tree, inputs, options, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        Listing(inputs, **options).check()
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_file_that_is_named_twice_has_two_names(tree) -> None:
    listing = Listing(("in/a", "in/a", "in/a/2.png", "in/b.png"))
    found = [ref.image_id for ref in listing]
    assert found == [
        *("in/a/10.png", "in/a/2.png", "in/a/10.png~2", "in/a/2.png~2", "in/a/2.png~3"),
        "in/b.png",
    ]
    assert {os.path.realpath(ref.file.name) for ref in listing} == {
        os.path.realpath(tree / name) for name in ("a/10.png", "a/2.png", "b.png")
    }
    assert listing.repeated == "in/a/10.png~2"
    stdin = io.BytesIO(b"in/b.png\nin/b.png\n")
    assert [ref.image_id for ref in Listing(("-",), stdin=stdin)] == ["in/b.png", "in/b.png~2"]
    for once in (("in",), ("in/a", "in/b.png"), ("in/**/*.png",)):
        listing = Listing(once)
        assert not any("~" in ref.image_id for ref in listing)
        assert listing.repeated == ""


class Trickle(io.BytesIO):
    """Gives one byte at a time, as a slow pipe may."""

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(1)


@pytest.mark.parametrize("stream", [io.BytesIO, Trickle])
@pytest.mark.parametrize(
    "begin",
    [PNG, b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"P6\n2 2\n", b"\0\0\0\x20ftypavif"],
)
def test_an_image_on_standard_input(tree, stream, begin: bytes) -> None:
    content = begin + bytes(range(256)) * 400
    [ref] = Listing(("-",), stdin=stream(content))
    assert (ref.image_id, ref.shown_path) == ("-", "-")
    with ref.file.open() as file:
        assert file.read() == content
    before = ref.fingerprint(failed=False)
    [ref] = Listing(("-",), stdin=stream(content[:-1]))
    assert ref.fingerprint(failed=False) != before
    [ref] = Listing(("-",), stdin=stream(content))
    assert ref.fingerprint(failed=False) == before, "the same image is known again"


@pytest.mark.parametrize("stream", [io.BytesIO, Trickle])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("name", ["GIF89a.png", "BM 1.png", "P6 1.png", "8BPS", "P", "RIFF", "é"])
def test_a_list_whose_first_name_is_like_an_image(tree, stream, end: bytes, name: str) -> None:
    (tree.parent / name).write_bytes(PNG)
    listed = name.encode() + (end + b"in/b.png" if end else b"")
    found = [ref.file.name for ref in Listing(("-",), stdin=stream(listed))]
    assert found == [name, "in/b.png"][: 2 if end else 1]


def test_a_list_is_not_waited_for_longer_than_its_first_name(tree) -> None:
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as stdin, open(writing, "wb", buffering=0) as pipe:
        pipe.write(b"in/b.png\n")
        names = iter(Listing(("-",), stdin=stdin))
        assert next(names).file.name == "in/b.png", "though nothing else has come"


def test_an_image_is_no_list_of_files(tree) -> None:
    with pytest.raises(UsageError, match="is an image, not a list"):
        list(Listing((), "-", stdin=io.BytesIO(PNG + bytes(99))))
    with pytest.raises(UsageError, match="is an image, not a list"):
        Listing((), "in/b.png").check()


def test_what_view_has_drawn_is_no_input_unless_it_is_named(tree) -> None:
    """Known by a mark in their content, wherever they are."""
    drawn = encode_png(Image.new("RGB", (8, 8)), DRAWN, "b.png")
    before = ids("in")
    for name in ("seen.png", "a/no-suffix", "pixelprune-view/b.png", "pixelprune-view/c/d.jpg"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(drawn)
    (tree / "pixelprune-view" / FOLDER_MARK).touch()
    (tree / "pixelprune-view" / "mine.png").write_bytes(PNG)
    listing = Listing(("in",))
    found = [ref.image_id for ref in listing]
    assert sorted(found) == sorted([*before, "pixelprune-view/mine.png"])
    assert listing.skipped == 5
    assert len(ids("in/**")) == len(found)
    assert ids("in/seen.png") == ["in/seen.png"]
    assert ids("in/s*.png") == ["in/seen.png"]
    assert ids("-", stdin=io.BytesIO(b"in/a/no-suffix\n")) == ["in/a/no-suffix"]
    assert ids("in/pixelprune-view") == ["b.png", "c/d.jpg", "mine.png"]
    assert ids("in/pixelprune-view/c", "in/seen.png") == [
        "in/pixelprune-view/c/d.jpg",
        "in/seen.png",
    ]
    (tree / "pixelprune-view").rename(tree / "renamed")
    assert not {"renamed/b.png", "renamed/c/d.jpg"} & set(ids("in"))


def test_outside_the_folders_of_view_only_some_names_are_read_for_the_mark(tree) -> None:
    before = ids("in")
    drawn = encode_png(Image.new("RGB", (8, 8)), DRAWN, "b.png")
    names = "seen.PNG", "seen.jpg", "made/c.png", "made/d/e.tif", "made/f", "made-by-hand/g.jpg"
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(drawn)
    (tree / "made" / FOLDER_MARK).touch()
    assert set(ids("in")) - set(before) == {"seen.jpg", "made-by-hand/g.jpg"}


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The paths that are opened, as often as they are."""
    paths, open_file = [], LocalFile.open
    monkeypatch.setattr(LocalFile, "open", lambda file: paths.append(file.path) or open_file(file))
    return paths


@pytest.mark.parametrize("copy_first", [False, True])
def test_a_copy_and_its_original_look_into_each_file_once(tree, opened, copy_first) -> None:
    listing = Listing(("in",))
    both = copy(listing), listing
    found = [list(one) for one in (both if copy_first else reversed(both))]
    assert found[0] == found[1]
    assert both[0].skipped == both[1].skipped == 1
    assert len(opened) == len(set(opened)) == 7, "all but a.b/x.jpg"


def test_a_copy_and_its_original_look_once_in_two_threads(tree, opened) -> None:
    for number in range(200):
        (tree / f"{number}.png").write_bytes(PNG)
    listing = Listing(("in",))
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(list, (copy(listing), listing))
    assert first == second
    assert len(opened) == len(set(opened)) == 207


def test_what_reconstruct_gives_back_is_an_input(tree) -> None:
    (tree / "rebuilt.png").write_bytes(encode_png(Image.new("RGB", (8, 8)), REBUILT, "b.png"))
    assert "rebuilt.png" in ids("in")


def test_files_named_one_by_one_are_known_at_once(tree) -> None:
    """The same as the listing gives; None where it has to look for them."""
    names = "in/b.png", "in/B.png", "in/readme.txt"
    for limit in (None, 2):
        listing = Listing(names, limit=limit)
        assert listing.named_files == list(listing)
    for others in ("in",), ("in/*.png",), ("-",):
        assert Listing((*names, *others)).named_files is None
    assert Listing(names, files0_from="list").named_files is None
