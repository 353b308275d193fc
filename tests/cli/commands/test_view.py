"""`view` as a user runs it."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppcli import keep_mask
from ppcli.imaging.fit import fit_image
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import Fit
from ppcli.models.families.family_registry import PRESETS
from ppcli.show.overlay import overlay
from tests.command import command_line, pixelprune
from tests.conftest import blocks
from tests.imaging.pdfs import Page, pdf


def view(*args: str | Path, code: int = 0, cwd: Path | None = None) -> str:
    done = pixelprune("view", *args, cwd=cwd)
    assert done.returncode == code, done.stderr.decode()
    assert done.stdout == b""
    return done.stderr.decode()


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def fitted(image: np.ndarray, fit: Fit = Fit.RESIZE) -> np.ndarray:
    return fit_image(image, FitOptions.of_preset(PRESETS["qwen3-vl"], fit)).raster


def starts_with(picture: np.ndarray, panel: np.ndarray) -> bool:
    return np.array_equal(picture[: panel.shape[0], : panel.shape[1]], panel)


def test_a_folder_of_images(folder: Path, tmp_path: Path) -> None:
    said = view(folder, "-o", tmp_path / "out", code=3)
    written = sorted(
        str(path.relative_to(tmp_path / "out")) for path in tmp_path.rglob("out/**/*.png")
    )
    assert written == ["a.png", "b.jpg.png", "sub/a.png"]
    assert "truncated: broken.png: " in said
    assert f"3 pictures written to {tmp_path}/out, 1 failed" in said
    raster = fitted(pixels(folder / "a.png"))
    expected = overlay(raster, keep_mask(raster))
    assert starts_with(pixels(tmp_path / "out" / "a.png"), expected)


def test_one_image_to_one_file(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "seen.png"
    assert "1 picture written" in view(folder / "a.png", "--grid", "--fit", "pad", "-o", out)
    raster = fitted(pixels(folder / "a.png"), Fit.PAD)
    assert starts_with(pixels(out), overlay(raster, keep_mask(raster), grid=True))
    before = out.read_bytes()
    assert "exists; use --overwrite" in view(folder / "b.jpg", "-o", out, code=5)
    assert out.read_bytes() == before
    view(folder / "b.jpg", "-o", out, "--overwrite")
    assert out.read_bytes() != before


def test_one_image_in_a_folder_is_named(folder: Path) -> None:
    said = view("a.png", cwd=folder)
    assert said == f"1 picture written to {Path('pixelprune-view', 'a.png')}\n"
    assert view("sub/a.png", "-v", cwd=folder).endswith("pixelprune-view/sub/a.png\n")
    again = view("a.png", cwd=folder, code=5)
    assert "exists; use --overwrite" in again


def test_sources_are_never_replaced(folder: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}
    said = view("a.png", "-o", "./a.png", "--overwrite", cwd=folder, code=2)
    assert "is the image itself" in said
    for inputs in (["a.png"], ["."]):
        said = view(*inputs, "-o", ".", "--overwrite", cwd=folder, code=5)
        assert "a.png exists and was not made by pixelprune" in said
    assert pixelprune("analyze", folder, "-o", tmp_path / "out").returncode == 3
    done = pixelprune("reconstruct", tmp_path / "out", "--to", folder, "--overwrite")
    assert b"a.png exists and was not made by pixelprune" in done.stderr
    assert {path: path.read_bytes() for path in folder.rglob("*.png")} == before


def test_outputs_that_are_no_pictures(folder: Path, tmp_path: Path) -> None:
    for output in ("seen.jpg", "-", "seen.PDF", ""):
        said = view(folder / "a.png", "-o", output, cwd=tmp_path, code=2)
        assert "name a folder, or a .png file" in said
    assert not list(tmp_path.glob("*seen*"))


def test_a_folder_with_one_image_is_one_picture(folder: Path, tmp_path: Path) -> None:
    view(folder / "sub", "-o", tmp_path / "one.png")
    view(f"{folder}/a.*", "--limit", "3", "-o", tmp_path / "two.png")
    for name, path in (("one", "sub/a.png"), ("two", "a.png")):
        raster = fitted(pixels(folder / path))
        expected = overlay(raster, keep_mask(raster))
        assert starts_with(pixels(tmp_path / f"{name}.png"), expected)
    said = view(folder, "-o", tmp_path / "three.png", code=2)
    assert "there are several input files" in said


def test_several_pages_need_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf([Page(size=(200, 200))] * 3))
    said = view(path, "-o", tmp_path / "a.png", code=2)
    assert "the file has 3 pages" in said
    assert not (tmp_path / "a.png").exists()
    view(path, "-o", tmp_path / "a.png", "--pages", "2")
    view(path, "-o", tmp_path / "all", "--workers", "0")
    assert len(list((tmp_path / "all").rglob("*.png"))) == 3


def test_an_image_of_a_dataset(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert pixelprune("analyze", folder, "-o", out).returncode == 3
    view(out, "--image-id", "sub/a.png", "-o", tmp_path / "a.png")
    view(folder / "sub" / "a.png", "-o", tmp_path / "b.png")
    assert np.array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png"))
    said = view(out, "--side-by-side", "-o", tmp_path / "all")
    assert "3 pictures written" in said


def test_names_that_are_not_utf8(folder: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.png")
    (folder / "a.png").rename(folder / name)
    assert pixelprune("analyze", folder, "-o", tmp_path / "out").returncode == 3
    for number, image_id in enumerate([name, r"\xff.png"]):
        view(tmp_path / "out", "--image-id", image_id, "-o", tmp_path / f"{number}.png")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--image-id", "gone.png"), "has no patch set of gone.png"),
        (("--image-id", "broken.png"), "has no patch set of broken.png"),
        (("--threshold", "0.1"), "leave out --threshold"),
        (("--compare", "raster", "--limit", "1"), "leave out --compare, --limit"),
        (("--pages", "2", "--dpi", "150"), "leave out --pages, --dpi"),
        (("--image-id", os.fsdecode(b"\xff.png")), "has no patch set of \\xff.png"),
        (("-o", "one.png"), "--image-id"),
    ],
)
def test_what_a_dataset_cannot_give(folder: Path, tmp_path: Path, options, words: str) -> None:
    pixelprune("analyze", folder, "-o", tmp_path / "out")
    said = view("out", *options, cwd=tmp_path, code=2)
    assert words in said
    assert not (tmp_path / "pixelprune-view").exists()


def test_a_dataset_without_patch_sets(folder: Path, tmp_path: Path) -> None:
    pixelprune("analyze", folder, "-o", tmp_path / "out", "--no-patches")
    assert "has no patch sets" in view(tmp_path / "out", "-o", tmp_path / "x", code=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--image-id", "a.png"), "--image-id is for a dataset"),
        (("--compare", "pred_2d,nearest"), "unknown method 'nearest'"),
        (("--compare", "raster,raster"), "names a method twice"),
        (("--compare", "raster", "--method", "raster"), "--compare names the methods"),
        (("--error",), "at 0 there is no error"),
        (("--error", "--threshold", "0.1", "--compare", "random"), "cannot be decoded"),
    ],
)
def test_what_makes_no_sense(folder: Path, tmp_path: Path, options, words: str) -> None:
    assert words in view(folder, *options, cwd=tmp_path, code=2)
    assert not (tmp_path / "pixelprune-view").exists()


def test_a_sheet_of_methods_and_errors(folder: Path, tmp_path: Path) -> None:
    lossy = ("--threshold", "8/255", "--error")
    view(folder / "b.jpg", *lossy, "--compare", "pred_2d,raster", "-o", tmp_path / "a.png")
    view(folder / "b.jpg", "-o", tmp_path / "b.png")
    sheet, single = pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png")
    assert sheet.shape[1] > 1.8 * single.shape[1]
    assert sheet.shape[0] > 1.8 * single.shape[0]


@pytest.mark.slow
def test_an_interrupt_keeps_what_is_drawn(tmp_path: Path) -> None:
    images = tmp_path / "in"
    images.mkdir()
    for number in range(60):
        Image.fromarray(blocks(900, 900, seed=number)).save(images / f"{number:02}.png")
    out = tmp_path / "out"
    run = subprocess.Popen(
        command_line(["view", images, "-o", out, "--side-by-side", "--workers", "1"]),
        stderr=subprocess.PIPE,
    )
    while not list(out.glob("*.png")) and run.poll() is None:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert b"the finished pictures are kept" in said
    drawn = list(out.glob("[!.]*"))
    assert 0 < len(drawn) < 60
    assert all(pixels(path).shape[1] > 1800 for path in drawn)


@pytest.mark.slow
def test_an_interrupt_does_not_wait_for_the_last_page(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "long.pdf").write_bytes(pdf([Page(size=(900, 900))] * 200))
    run = subprocess.Popen(
        command_line(["view", tmp_path / "long.pdf", "-o", out, "--workers", "1"]),
        stderr=subprocess.PIPE,
    )
    while not list(out.rglob("*.png")) and run.poll() is None:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode == 130
    assert 0 < len(list(out.rglob("*.png"))) < 100


@pytest.mark.slow
def test_real_images(corpus: Path, tmp_path: Path) -> None:
    """A window, a page and a photo, and the hostile ones: a picture or a reason for each."""
    for kind in ("gui", "document", "photo"):
        path = sorted((corpus / "images" / kind).glob("*.png" if kind != "photo" else "*"))[0]
        view(path, "-o", tmp_path / f"{kind}.png")
        raster = fitted(pixels(path))
        expected = overlay(raster, keep_mask(raster))
        assert starts_with(pixels(tmp_path / f"{kind}.png"), expected)
    view(corpus / "hostile", "-o", tmp_path / "hostile", code=3)
    rows = pixelprune("analyze", corpus / "hostile", "-o", "-").stdout.splitlines()
    good = [row["image_id"] for row in map(json.loads, rows) if row["status"] == "ok"]
    drawn = [
        path.relative_to(tmp_path / "hostile") for path in (tmp_path / "hostile").rglob("*.png")
    ]
    assert {str(path) for path in drawn} == {
        name if name.endswith(".png") else f"{name}.png" for name in good
    }
    assert len(good) > 40
