import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ppcli.errors import OutputError, UsageError
from ppcli.jobs.reconstruct import reconstruct
from ppcli.store.png_folder import png_name
from ppcli.store.reader import read_metadata, read_patch_rows
from ppcli.store.table_writers import ParquetRowWriter
from tests.command import pixelprune
from tests.conftest import blocks

PARTS = st.text(st.characters(codec="utf-8", exclude_characters="/"), max_size=300)


@given(st.lists(PARTS, max_size=6).map("/".join))
def test_names_stay_below_the_folder_and_are_possible(image_id: str) -> None:
    name = png_name(image_id)
    assert name.lower().endswith(".png")
    assert not os.path.isabs(name)
    parts = name.split(os.sep)
    assert not {"", ".", ".."} & set(parts)
    assert all(len(part.encode()) <= 255 for part in parts)
    assert "\0" not in name


@pytest.mark.parametrize(
    ("image_id", "name"),
    [
        ("a/b.png", "a/b.png"),
        ("a/b.jpg", "a/b.jpg.png"),
        ("A.PNG", "A.PNG"),
        ("a.png#2", "a.png#2.png"),
        ("a.png/x", "a.png/x.png"),
        (".png", ".png.png"),
        ("/etc/passwd", "etc/passwd.png"),
        ("../../x", "__/__/x.png"),
        ("./a//b#2", "a/b#2.png"),
        ("", "image.png"),
    ],
)
def test_names(image_id: str, name: str) -> None:
    assert png_name(image_id) == name


def test_long_names_stay_apart() -> None:
    assert png_name("n" * 255) != png_name("n" * 254 + "m")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for seed, name in enumerate(("a.png", "A.png", "sub/a.png")):
        Image.fromarray(blocks(100 + seed, 70, seed=seed)).save(folder / name)
    done = pixelprune("analyze", folder, "--fit", "pad", "-o", tmp_path / "out", "-q")
    assert done.returncode == 0, done.stderr
    return tmp_path / "out"


def test_pngs_equal_the_sources(dataset: Path, tmp_path: Path) -> None:
    rebuilt = list(reconstruct(str(dataset), str(tmp_path / "png")))
    assert [one.image_id for one in rebuilt] == ["A.png", "a.png", "sub/a.png"]
    for one in rebuilt:
        source = np.asarray(Image.open(tmp_path / "in" / one.image_id))
        assert np.array_equal(np.asarray(Image.open(one.path)), source)


def test_names_that_only_differ_in_case_do_not_meet(dataset: Path, tmp_path: Path) -> None:
    paths = [one.path for one in reconstruct(str(dataset), str(tmp_path / "png"))]
    assert len({path.casefold() for path in paths}) == 3


def test_existing_files_are_refused(dataset: Path, tmp_path: Path) -> None:
    target = tmp_path / "png" / "sub" / "a.png"
    target.parent.mkdir(parents=True)
    target.write_text("precious")
    with pytest.raises(OutputError, match="not made by pixelprune"):
        list(reconstruct(str(dataset), str(tmp_path / "png")))
    with pytest.raises(OutputError, match="not made by pixelprune"):
        list(reconstruct(str(dataset), str(tmp_path / "png"), overwrite=True))
    assert target.read_text() == "precious"


def test_earlier_pictures_are_replaced_with_leave(dataset: Path, tmp_path: Path) -> None:
    [*first] = reconstruct(str(dataset), str(tmp_path / "png"))
    Image.open(first[0].path).close()
    before = Path(first[0].path).read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        list(reconstruct(str(dataset), str(tmp_path / "png")))
    again = list(reconstruct(str(dataset), str(tmp_path / "png"), overwrite=True))
    assert again == first
    assert Path(first[0].path).read_bytes() == before


def test_only_some_images(dataset: Path, tmp_path: Path) -> None:
    told = []
    chosen, out = ["sub/a.png", "A.png", "sub/a.png"], str(tmp_path / "png")
    seen = reconstruct(str(dataset), out, image_ids=chosen, on_image=lambda *n: told.append(n))
    rebuilt = list(seen)
    assert [one.image_id for one in rebuilt] == ["A.png", "sub/a.png"]
    assert told == [(1, 2), (2, 2)]
    with pytest.raises(UsageError, match=r"no patch set of none\.png, z"):
        list(reconstruct(str(dataset), str(tmp_path / "png2"), image_ids=["z", "none.png"]))


def renamed(dataset: Path, names: list[str]) -> Path:
    """A dataset of the first image under other identities, as its one file of patch sets."""
    (file,) = (dataset / "patches").iterdir()
    first, *_ = read_patch_rows(str(file))
    other = dataset.parent / "renamed.parquet"
    with other.open("wb") as raw, ParquetRowWriter(raw, read_metadata(str(file))) as writer:
        for name in names:
            writer.add(replace(first, image_id=name))
    return other


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("b.png/x.png", "Not a directory"),
        ("/".join(["d"] * 1_900), "too deep"),
        ("/".join(["d" * 200] * 100), "too long"),
    ],
)
def test_a_name_that_cannot_be_costs_itself(dataset, tmp_path, bad: str, reason: str) -> None:
    """`b` becomes b.png, which therefore is no folder; and trees may be deeper than a path."""
    file = renamed(dataset, ["a", "b", bad, "c", "e/f"])
    done = pixelprune("reconstruct", file, "--to", tmp_path / "png")
    said = done.stderr.decode()
    assert done.returncode == 3, said
    assert reason in said and "Traceback" not in said
    assert "4 images written" in said and "1 failed" in said
    assert len(list((tmp_path / "png").rglob("*.png"))) == 4


def test_a_file_is_no_folder(dataset, tmp_path) -> None:
    (tmp_path / "png").write_text("precious")
    with pytest.raises(OutputError, match="is not a folder; use another name"):
        list(reconstruct(str(dataset), str(tmp_path / "png")))


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_not_replaced_by_a_picture(dataset, tmp_path, overwrite: bool) -> None:
    file = renamed(dataset, ["b.png/x.png", "b", "c"])
    rebuilt = list(reconstruct(str(file), str(tmp_path / "png"), overwrite))
    assert [one.error is None for one in rebuilt] == [True, False, True]
    assert "folder" in str(rebuilt[1].error)


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        list(reconstruct(str(tmp_path), str(tmp_path / "png")))
