import os
import subprocess
import sys

import PIL
import pytest
from PIL import Image, ImageSequence, features

COMMITTED = os.path.abspath(
    os.path.join(os.path.dirname(__file__), os.pardir, os.pardir, "sample_data")
)
# Glyphs may come out differently where Pillow's minor version or FreeType is another.
DRAWN_WITH = ("13.0", "2.14.3")
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".tif": "TIFF"}
MOST_BYTES = 4_000_000
ORIENTATION = 0x0112


def image_names(folder):
    return sorted(name for name in os.listdir(folder) if os.path.splitext(name)[1] in FORMATS)


NAMES = image_names(COMMITTED)
LOSSLESS = [name for name in NAMES if not name.endswith(".jpg")]


def run_script(*arguments):
    script = os.path.join(COMMITTED, "make.py")
    command = [sys.executable, "-B", "-W", "error", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def read(folder, name):
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


def frames(folder, name):
    with Image.open(os.path.join(folder, name)) as image:
        return [frame.copy() for frame in ImageSequence.Iterator(image)]


def drawn_with():
    return ".".join(PIL.__version__.split(".")[:2]), features.version_module("freetype2")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fresh")
    done = run_script(str(folder))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def test_a_second_run_writes_the_same_bytes(fresh, tmp_path):
    folder = tmp_path / "not" / "there"
    assert run_script(str(folder)).returncode == 0
    assert sorted(os.listdir(folder)) == sorted(os.listdir(fresh))
    for name in os.listdir(fresh):
        assert read(folder, name) == read(fresh, name), name


def test_more_than_one_argument_is_refused(tmp_path):
    done = run_script(str(tmp_path), str(tmp_path))
    assert done.returncode == 1
    assert "usage" in done.stderr
    assert os.listdir(tmp_path) == []


def test_the_folder_has_the_files_that_the_script_makes_and_no_others(fresh):
    sources = {name for name in os.listdir(COMMITTED) if name.endswith(".py")}
    others = set(os.listdir(COMMITTED)) - sources - {"README.md", "questions", "__pycache__"}
    assert others == set(os.listdir(fresh))
    assert others == set(NAMES)
    assert len(others) >= 16


def test_the_readme_names_every_file():
    text = read(COMMITTED, "README.md").decode()
    assert [name for name in NAMES if f"`{name}`" not in text] == []


def test_together_they_are_small():
    assert sum(os.path.getsize(os.path.join(COMMITTED, name)) for name in NAMES) < MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_the_format_is_the_one_in_the_name(name):
    with Image.open(os.path.join(COMMITTED, name)) as image:
        image.load()
        assert image.format == FORMATS[os.path.splitext(name)[1]]


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_files_hold_what_the_script_draws(fresh, name):
    stored, drawn = frames(COMMITTED, name), frames(fresh, name)
    assert [(frame.mode, frame.size) for frame in stored] == [
        (frame.mode, frame.size) for frame in drawn
    ]
    if drawn_with() == DRAWN_WITH:
        for old, new in zip(stored, drawn, strict=True):
            assert old.convert("RGBA").tobytes() == new.convert("RGBA").tobytes()


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(LOSSLESS)))
def test_jpeg_files_have_the_size_that_the_script_draws(fresh, name):
    (stored,), (drawn,) = frames(COMMITTED, name), frames(fresh, name)
    assert (stored.mode, stored.size) == (drawn.mode, drawn.size)


def test_the_lower_quality_is_the_smaller_file():
    assert len(read(COMMITTED, "invoice-q40.jpg")) < len(read(COMMITTED, "invoice-q90.jpg"))


def test_the_scan_has_three_different_black_and_white_pages():
    pages = frames(COMMITTED, "scan.tif")
    assert [page.mode for page in pages] == ["1", "1", "1"]
    assert len({page.tobytes() for page in pages}) == 3


def test_the_dialog_is_partly_transparent():
    (dialog,) = frames(COMMITTED, "dialog.png")
    assert dialog.mode == "RGBA"
    levels = dialog.getchannel("A").histogram()
    assert levels[0]
    assert levels[255]
    assert sum(levels[1:255])


def test_the_modes_are_of_several_kinds():
    modes = {name: frames(COMMITTED, name)[0].mode for name in NAMES}
    assert modes["terminal.png"] == "P"
    assert modes["text-page.png"] == "L"
    assert set(modes.values()) == {"1", "L", "P", "RGB", "RGBA"}


def test_the_photo_of_the_receipt_lies_on_its_side():
    with Image.open(os.path.join(COMMITTED, "receipt-phone.jpg")) as image:
        assert image.getexif()[ORIENTATION] == 6
        assert image.width > image.height
