"""Names of pictures, and the mark that tells what they are of."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ppcli.errors import OutputError
from ppcli.inputs.marks import DRAWN, FOLDER_MARK, REBUILT, is_drawn, mark_of
from ppcli.store.png_folder import PngFolder, encode_png
from tests.conftest import blocks

IMAGE = Image.fromarray(blocks())


def put(folder: Path, image_id: str, overwrite: bool = False, drawn: bool = False) -> Path:
    """What one run makes of one image."""
    pictures = PngFolder(str(folder), overwrite, drawn)
    path = pictures.path_of(image_id)
    pictures.put(path, encode_png(IMAGE, DRAWN if drawn else REBUILT, image_id))
    return Path(path)


def test_images_of_one_stem_stay_apart(tmp_path: Path) -> None:
    """Also where another run, or the other order, made the first picture; and always the same."""
    names = ["a", "a.png", "a.jpg", "a.jpg.png", "a~2", "A.PNG", "a.png~2"]
    for order in (names, names[::-1]):
        folder = tmp_path / order[0]
        paths = {name: put(folder, name) for name in order}
        assert len(set(paths.values())) == len(names)
        for name, path in paths.items():
            said = mark_of(str(path))
            assert said == {"made_by": "reconstruct", "image_id": name}
            with pytest.raises(OutputError, match="--overwrite"):
                put(folder, name)
            assert put(folder, name, overwrite=True) == path
    in_one_run = PngFolder(str(tmp_path / "run"), overwrite=False)
    paths_of_run = [in_one_run.path_of(name) for name in names]
    assert len({path.casefold() for path in paths_of_run}) == len(names)


@given(st.lists(st.text(alphabet="aA.png/#~2\u00e9", max_size=12), unique=True))
def test_no_two_identities_have_one_name(names: list[str]) -> None:
    pictures = PngFolder("nowhere", overwrite=False)
    paths = [pictures.path_of(name) for name in names]
    assert len({path.casefold() for path in paths}) == len(names)


def test_long_names_that_are_numbered_stay_possible(tmp_path: Path) -> None:
    name = "n" * 251
    assert len({put(tmp_path, one).name for one in (name, name + ".png")}) == 2


def drawn(path: Path) -> bool:
    with path.open("rb") as file:
        return is_drawn(file)


@pytest.mark.parametrize("image_id", ["a.png", "é\n\u2028\x00.png", "\\xff", "", "n" * 100_000])
def test_the_mark_costs_no_pixel_and_is_found(tmp_path: Path, image_id: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(IMAGE, DRAWN, image_id))
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), np.asarray(IMAGE))
    assert drawn(path)
    said = mark_of(str(path))
    assert said is not None
    assert len(said["image_id"].encode()) <= 4096
    path.write_bytes(encode_png(IMAGE, REBUILT, image_id))
    assert not drawn(path)


def test_what_has_no_mark(tmp_path: Path) -> None:
    whole = encode_png(IMAGE, DRAWN, "a.png")
    place = whole.index(b"tEXt")
    files = {
        "plain.png": encode_png(IMAGE, DRAWN, "a.png").replace(b"pixelprune", b"other word"),
        "cut.png": whole[: place + 20],
        "no.png": b"not a PNG, " + whole,
        "long.png": whole[: place - 4] + b"\xff" * 4 + whole[place:],
        "short.png": whole[: place - 4] + bytes(4) + whole[place:],
        "empty.png": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        assert not drawn(tmp_path / name), name
        assert mark_of(str(tmp_path / name)) is None or name == "plain.png", name
    assert mark_of(str(tmp_path)) is None
    assert mark_of(str(tmp_path / "gone.png")) is None


def test_only_folders_that_are_made_for_drawn_pictures_are_marked(tmp_path: Path) -> None:
    put(tmp_path / "new", "sub/a.png", drawn=True)
    assert (tmp_path / "new" / FOLDER_MARK).exists()
    (tmp_path / "mine").mkdir()
    put(tmp_path / "mine", "a.png", drawn=True)
    assert not (tmp_path / "mine" / FOLDER_MARK).exists()
    put(tmp_path / "rebuilt", "a.png")
    assert not (tmp_path / "rebuilt" / FOLDER_MARK).exists()
