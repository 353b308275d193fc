"""Files that failed once, through the command: what each of them has to give.

Their pixels are held against other decoders in tests/imaging.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ppcli import read_patch_sets
from tests.command import pixelprune

pytestmark = pytest.mark.slow

OK = "ok"
# By file: width, height and outcome of each page.
RIGHT: dict[str, list[tuple[int | None, int | None, str]]] = {
    "bitmap.psd": [(64, 48, OK)],
    "bom_noext.bin": [(1275, 1650, OK)],
    "cjk_jp.pdf": [(625, 167, OK)],
    "contents_lost.pdf": [(None, None, "corrupt")],
    "cyrillic_arial.pdf": [(625, 167, OK)],
    "gray12.tif": [(64, 48, OK)],
    "jpx_broken.pdf": [(None, None, "corrupt")],
    "letter.pdf": [(1275, 1650, OK)],
    "letter_userunit2.pdf": [(1275, 1650, OK)],
    "min2000.pdf": [(1275, 1650, OK)] * 2000,
    "miniswhite16.tif": [(64, 48, OK)],
    "mixed_L-P-P.tif": [(64, 48, OK)] * 3,
    "orient_byte.tif": [(80, 120, OK)],
    "p3_mask.tif": [(64, 48, OK), (64, 48, OK), (None, None, "unsupported_mode")],
    "rgb16_planar.tif": [(64, 48, OK)],
    "rgb8_bigtiff_be.tif": [(64, 48, OK)],
    "rle4_abs_pad.bmp": [(11, 6, OK)],
    "shortjfif.jpg": [(240, 180, OK)],
    "small_frame_bg1.gif": [(40, 40, OK)],
    "smask_line20.pdf": [(1240, 1754, OK)],
    "tail_lost.tif": [(64, 48, OK), (64, 48, OK), (None, None, "truncated")],
    "truncated.webp": [(None, None, "truncated")],
    "white_rgb16.jp2": [(96, 64, OK)],
    "ids/m.tif": [(64, 64, OK)] * 2,
    "ids/m.tif#1": [(64, 64, OK)],
    "ids/m.tif#2": [(64, 64, OK)],
}


@pytest.fixture(scope="module")
def inputs(corpus: Path) -> Path:
    folder = corpus.parent / "cases" / "inputs"
    if not folder.is_dir():
        pytest.skip("there are no cases/inputs beside the corpus")
    return folder


@pytest.fixture(scope="module")
def analyzed(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cases") / "out"
    done = pixelprune("analyze", inputs, "--fit", "pad", "-o", out, "-q")
    assert done.returncode == 3, done.stderr
    return out


def test_every_file_gives_what_is_right(inputs: Path, analyzed: Path) -> None:
    found: dict[str, list[tuple[int | None, int | None, str]]] = {}
    rows = pq.read_table(analyzed / "stats").to_pylist()
    for row in rows:
        name = os.path.relpath(row["path"], inputs)
        found.setdefault(name, []).append(
            (row["width"], row["height"], row["error_code"] or row["status"])
        )
    assert found == RIGHT
    files = [path for path in inputs.rglob("*") if path.is_file() and path.suffix != ".py"]
    assert {os.path.relpath(path, inputs) for path in files} == set(RIGHT), "no file is forgotten"
    assert max(Counter(row["image_id"] for row in rows).values()) == 1
    warned = [row["image_id"] for row in rows if row["warning"]]
    assert warned == [], "all glyphs are there"
    assert pixelprune("verify", analyzed, "--data").returncode == 0


def test_what_they_show(analyzed: Path) -> None:
    """Rebuilt from their patch sets, as somebody would look at them."""

    def shown(name: str) -> np.ndarray:
        [stored] = read_patch_sets(analyzed, image_ids=[name])
        return stored.image()[..., 0].astype(int)

    for name in ("miniswhite16.tif", "gray12.tif", "rgb16_planar.tif", "rgb8_bigtiff_be.tif"):
        ramp = shown(name)
        assert (np.diff(ramp, axis=1) >= 0).all()
        assert (ramp[:, 0].max(), ramp[:, -1].min()) == (0, 255)
    assert np.median(shown("white_rgb16.jp2")) == 255
    for name in ("cyrillic_arial.pdf#1", "cjk_jp.pdf#1"):
        assert (shown(name) < 128).sum() > 300, "ink of the text"


def test_native_pixels_do_not_show_what_is_masked_out(inputs: Path, tmp_path: Path) -> None:
    """The mask hides a line; where native pixels cannot be had the page is drawn."""
    pictures = []
    for way in ("render", "native"):
        out = tmp_path / way
        options = ("--pdf-images", way, "--fit", "pad", "-q")
        assert (
            pixelprune("analyze", inputs / "smask_line20.pdf", *options, "-o", out).returncode == 0
        )
        pictures.append(pq.read_table(out / "patches", columns=["raster_digest"]).to_pylist())
    assert pictures[0] == pictures[1]


def test_pages_are_not_lost(inputs: Path, tmp_path: Path) -> None:
    """Small images, one whose patch set is large, and files of several pages."""
    make = [sys.executable, inputs / "pages_lost_make.py", tmp_path / "in"]
    subprocess.run(make, check=True)
    done = pixelprune("analyze", tmp_path / "in", "-o", tmp_path / "out", "-q")
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(tmp_path / "out" / "stats", columns=["image_id", "frames"]).to_pylist()
    assert len(rows) == 169
    assert sum(row["frames"] == 6 for row in rows) == 48
    assert pixelprune("verify", tmp_path / "out").returncode == 0


def test_requests(corpus: Path) -> None:
    """Lines as people have them, one file behind the other; all of them are answered."""
    folder = corpus.parent / "cases" / "requests"
    if not folder.is_dir():
        pytest.skip("there are no cases/requests beside the corpus")
    names = ("same-ids", "nulls-and-floats", "line-separator", "data-url", "openai-batch")
    text = b"".join((folder / f"{name}.jsonl").read_bytes() for name in names)
    options = ("--max-new-tokens", "4", "--device", "cpu", "--format", "jsonl")
    done = pixelprune("infer", "--requests", "-", *options, stdin=text, cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()  # at all that may end a line
    rows = {row["custom_id"]: row for row in map(json.loads, lines)}
    assert list(rows) == ["line-2", "line-2~2", "x", "x~2", "n1", "u", "d", "b1", "b2"]
    assert b"several inputs have the same name" in done.stderr
    assert rows["u"]["prompt"] == "first\u2028second\x85third"
    assert len(rows["d"]["image_id"]) < 80 and rows["d"]["image_id"] == rows["b1"]["image_id"]
    assert (rows["b1"]["prompt"], rows["b2"]["prompt"]) == ("Before.\nAfter?", "What colour?")
    assert {(row["fitted_width"], row["fitted_height"]) for row in rows.values()} == {(96, 64)}
