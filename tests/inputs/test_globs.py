"""Patterns over folders that are there; Python's own glob says what `**` names."""

import glob
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppcli.errors import UsageError
from ppcli.inputs.listing import Listing

PNG = b"\x89PNG\r\n\x1a\n"
FILES = (
    *("a.png", "a/2.png", "a/10.png", "a.b/x.png", "a/a/y.png", "b/.h/z.png", ".top.png"),
    *("b/deep/c.png", "b/s[1]/t.png", "b/s1/u.png", "c/deep/v.png", "c/only[1].png"),
)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)
    (tmp_path / "in/notes.txt").write_text("text")
    (tmp_path / "in/b/more.txt").write_text("text")
    return tmp_path / "in"


def listing(*inputs: str, **options) -> Listing:
    made = Listing(inputs, **options)
    made.check()
    return made


def ids(*inputs: str, **options) -> list[str]:
    return [ref.image_id for ref in listing(*inputs, **options)]


WALKED = [
    *("a/10.png", "a/2.png", "a/a/y.png", "a.b/x.png", "a.png", "b/deep/c.png", "b/s1/u.png"),
    *("b/s[1]/t.png", "c/deep/v.png", "c/only[1].png"),
]


@pytest.mark.parametrize("pattern", ["in/**", "in/**/", "i?/**", "[i]n/**", "in/**/**", "in//**"])
def test_all_below_a_folder_is_as_in_a_walk(tree: Path, pattern: str) -> None:
    assert ids("in") == WALKED
    assert [os.path.normpath(one) for one in ids(pattern)] == [f"in/{name}" for name in WALKED]
    assert ids(pattern) == [ref.file.name for ref in listing(pattern)]
    assert ids(str(tree.parent / pattern)) == [
        os.path.join(str(tree.parent), one) for one in ids(pattern)
    ]


def test_all_below_the_current_folder(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert ids("**") == WALKED
    assert ids("**/y.png") == ["a/a/y.png"]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("in/**/deep", ["b/deep/c.png", "c/deep/v.png"]),
        ("in/**/deep/", ["b/deep/c.png", "c/deep/v.png"]),
        ("in/**/deep/**", ["b/deep/c.png", "c/deep/v.png"]),
        ("in/**/deep/*.png", ["b/deep/c.png", "c/deep/v.png"]),
        ("in/**/a", ["a/10.png", "a/2.png", "a/a/y.png"]),
        ("in/**/a/**/*.png", ["a/10.png", "a/2.png", "a/a/y.png"]),
        ("in/b/**/?.png", ["b/deep/c.png", "b/s1/u.png", "b/s[1]/t.png"]),
        ("in/[bc]/**/deep/*", ["b/deep/c.png", "c/deep/v.png"]),
        ("in/**/.h/*", ["b/.h/z.png"]),
        ("in/**/x.png/", []),
        ("in/**/*.txt", []),
        ("in/**/s[1]", ["b/s1/u.png"]),
        ("in/**/only[1].png", ["c/only[1].png"]),
        ("in/*/only[1].*", ["c/only[1].png"]),
    ],
)
def test_what_two_stars_name(tree: Path, pattern: str, wanted: list[str]) -> None:
    (tree / "x.png").mkdir()
    assert ids(pattern) == [f"in/{name}" for name in wanted]


def test_paths_in_bytewise_order(tree: Path) -> None:
    found = ids("in/**/*.png")
    assert found == sorted(found)
    assert sorted(found) == sorted(f"in/{name}" for name in WALKED)


@pytest.mark.parametrize("pattern", ["in/**/*.bmp", "nowhere/**", "in/a.png/**", "in/**/.nothing"])
def test_what_names_nothing_is_refused(tree: Path, pattern: str) -> None:
    with pytest.raises(UsageError, match="no file matches"):
        ids(pattern)


def test_links_that_lead_back_cost_nothing(tree: Path) -> None:
    """Python's glob would go round for as long as there are names."""
    for name in ("round", "and", "again"):
        (tree / name).symlink_to(tree, target_is_directory=True)
    assert ids("in/**") == [f"in/{name}" for name in WALKED]
    assert ids("in/**/y.png") == ["in/a/a/y.png"]
    assert ids("in/and/**") == [f"in/and/{name}" for name in WALKED]


def test_the_output_is_nobodys_match(tree: Path) -> None:
    assert not any(one.startswith("in/a/") for one in ids("in/*", avoid="in/a"))
    assert ids("in/*.png") == ["in/a.png"]
    assert ids("in/*.png", avoid="in/a.png") == []
    assert "in/a/2.png" in ids("in/*")


def test_a_folder_that_cannot_be_listed_does_not_disappear(tree: Path, monkeypatch) -> None:
    real = os.scandir

    def scandir(path):
        if os.path.basename(path) == "deep":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert ids("in/**/x.png") == ["in/a.b/x.png", "in/b/deep", "in/c/deep"]
    assert ids("in/**/u.png") == ["in/b/deep", "in/b/s1/u.png", "in/c/deep"]


def test_brackets_of_what_is_included(tree: Path) -> None:
    assert ids("in", include=("b/s[1]/*",)) == ["b/s1/u.png", "b/s[1]/t.png"]
    assert ids("in", include=("only[1].*",)) == ["c/only[1].png"]
    assert "b/s[1]/t.png" not in ids("in", exclude=("s[1]",))


parts = st.sampled_from(["a", "b", "?", "*", "**", "*.png", "[ab]", "a.png"])
names = st.sampled_from(["a", "b", "a.png", "b.png", "a.txt"])


@settings(max_examples=60)
@given(
    st.sets(st.lists(names, min_size=1, max_size=4).map("/".join), max_size=8),
    st.lists(parts, min_size=1, max_size=4),
)
def test_the_files_are_those_of_glob(paths: set[str], pattern: list[str]) -> None:
    """What it matches, and what is in folders that it matches, without what is no image."""
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(paths):
            file = Path(folder, path)
            if not any(parent.is_file() for parent in file.parents) and not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(PNG if path.endswith("png") else b"text")
        given_ = "/".join([folder, "**", *pattern])
        expected: set[str] = set()
        for match in glob.glob(given_, recursive=True):
            below = [match, *glob.glob(os.path.join(glob.escape(match), "**"), recursive=True)]
            expected |= {os.path.normpath(one) for one in below if one.endswith(".png")}
        expected = {one for one in expected if os.path.isfile(one)}
        made = Listing((given_,))
        found = [ref.file.name for ref in made]
        assert sorted(found) == sorted(expected)
        assert len(set(found)) == len(found)
