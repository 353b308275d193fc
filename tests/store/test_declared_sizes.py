"""Rows that claim more than they hold: refused by every reader, before anything is allocated."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from ppcli import prune, read_patch_sets
from ppcli.errors import DamagedError, ErrorCode, ImageError
from ppcli.imaging.fit import FitOptions, fit_image
from ppcli.imaging.image_choices import Fit
from ppcli.store.patch_codec import from_patch_row, to_patch_row
from ppcli.store.reader import read_metadata, read_patch_rows
from ppcli.store.rows import PatchRow
from ppcli.store.table_writers import ParquetRowWriter
from tests.command import pixelprune
from tests.conftest import blocks


def claiming(row: PatchRow, side: int, tile: int | None = None) -> PatchRow:
    """A row of side × side tiles, which are all copies of its first one: small when stored."""
    tile = row.tile if tile is None else tile
    keep = np.zeros(side * side, dtype=np.bool_)
    keep[0] = True
    one = bytes(tile * tile * 3) if tile <= 4096 else b""
    return replace(
        row,
        grid_h=side,
        grid_w=side,
        tile=tile,
        keep=np.packbits(keep).tobytes(),
        tiles=pa.compress(one, codec="zstd", asbytes=True),
        fitted_width=side * tile,
        fitted_height=side * tile,
    )


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("honest")
    (folder / "in").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(blocks(100, 70)).save(folder / "in" / name)
    limits = ("--min-pixels", "4096", "--max-pixels", "786432")  # of the packaged model
    done = pixelprune("analyze", folder / "in", "--workers", "0", *limits, "-o", folder / "out")
    assert done.returncode == 0, done.stderr
    return folder / "out"


def changed(honest: Path, out: Path, change: Callable[[PatchRow], PatchRow]) -> Path:
    """A dataset as somebody else may have made it: of its last patch set another row."""
    shutil.copytree(honest, out)
    (file,) = (out / "patches").iterdir()
    rows = list(read_patch_rows(str(file)))
    metadata = read_metadata(str(file))
    with file.open("wb") as raw, ParquetRowWriter(raw, metadata) as writer:
        for row in (*rows[:-1], change(rows[-1])):
            writer.add(row)
    return out


READERS = {
    "reconstruct": ["reconstruct", "OUT", "--to", "TO"],
    "view": ["view", "OUT", "-o", "TO"],
    "report": ["report", "OUT", "-o", "TO/page.html"],
    "verify": ["verify", "OUT/patches/part-00000.parquet", "--data"],
    "verify without rasters": ["verify", "OUT/patches/part-00000.parquet"],
}


def told(words: list[str], out: Path, to: Path) -> list[str]:
    return [one.replace("OUT", str(out)).replace("TO", str(to)) for one in words]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("side", "tile"), [(1000, None), (20_000, None), (1, 60_000), (8_192, 1)], ids=str
)
def test_a_bomb_is_refused(honest: Path, tmp_path: Path, reader: str, side: int, tile) -> None:
    out = changed(honest, tmp_path / "out", lambda row: claiming(row, side, tile))
    limit = "--max-image-pixels"
    done = pixelprune(*told(READERS[reader], out, tmp_path / "to"))
    said = done.stderr.decode()
    assert done.returncode in (3, 6), said
    assert limit in said and "b.png" in said
    assert "Traceback" not in said
    if reader in ("reconstruct", "view"):  # the other image is there
        assert len(list((tmp_path / "to").rglob("*.png"))) == 1


def test_a_bomb_is_refused_from_python(honest: Path, tmp_path: Path) -> None:
    out = changed(honest, tmp_path / "out", lambda row: claiming(row, 1000))
    rows = read_patch_sets(out)
    assert next(rows).image_id == "a.png"
    with pytest.raises(ImageError, match=r"b\.png") as caught:
        next(rows)
    assert caught.value.code is ErrorCode.TOO_LARGE
    sizes = [one.patch_set.tokens for one in read_patch_sets(out, max_image_pixels=1_024_000_000)]
    assert sizes[1] == 1_000_000


def test_a_bomb_is_an_error_row_of_infer(honest: Path, tmp_path: Path) -> None:
    out = changed(honest, tmp_path / "out", lambda row: claiming(row, 1000))
    done = pixelprune("infer", out, "--prompt", "?", "-o", "-", "--max-new-tokens", "2", "-q")
    assert done.returncode == 3, done.stderr
    assert b'"too_large"' in done.stdout


@pytest.fixture
def row() -> PatchRow:
    return to_patch_row("a", (96, 64), (96, 64), Fit.PAD, prune(blocks(96, 64)), "0" * 32)


def test_the_limit_is_that_of_the_raster(row: PatchRow) -> None:
    assert from_patch_row(row, 96 * 64).patch_set.tokens == 6
    with pytest.raises(ImageError, match=r"96×64 pixels exceed the limit of 6,143") as caught:
        from_patch_row(row, 96 * 64 - 1)
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_no_size_at_all_is_damage(row: PatchRow) -> None:
    for change in ({"grid_h": -1}, {"grid_w": 0}, {"tile": -32}, {"grid_h": -2, "grid_w": -3}):
        with pytest.raises(DamagedError):
            from_patch_row(replace(row, **change))


def test_what_analyze_writes_can_be_read_with_the_same_limit() -> None:
    """A strip that is padded grows, so that its size before says little."""
    strip = np.zeros((1, 40_000, 3), dtype=np.uint8)
    options = FitOptions(Fit.PAD, 16, 2, 1, 1 << 24)
    assert fit_image(strip, options, 40_000 * 32).raster.shape == (32, 40_000, 3)
    with pytest.raises(ImageError, match="40,000×32 pixels") as caught:
        fit_image(strip, options, 40_000 * 32 - 1)
    assert caught.value.code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("reader", ["view", "report", "reconstruct", "verify"])
def test_a_raster_that_is_not_the_one_that_was_stored_is_refused(
    honest: Path, tmp_path: Path, reader: str
) -> None:
    out = changed(honest, tmp_path / "out", lambda row: replace(row, raster_digest="0" * 32))
    done = pixelprune(*told(READERS[reader], out, tmp_path / "to"))
    said = done.stderr.decode()
    assert done.returncode in (3, 6), said
    assert "differs from the one that was stored" in said
    assert not list(tmp_path.rglob("to/b*"))
    assert not list(tmp_path.rglob("to/*.html"))
