from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ppcli import prune
from ppcli.coding.patchset import raster_digest
from ppcli.errors import DamagedError
from ppcli.imaging.image_choices import Fit
from ppcli.store.patch_codec import from_patch_row, to_patch_row
from ppcli.store.rows import PatchRow
from tests.conftest import blocks

RASTER = blocks(160, 96, levels=2)


@pytest.fixture
def row() -> PatchRow:
    patch_set = prune(RASTER)
    return to_patch_row("a", (150, 90), (150, 90), Fit.PAD, patch_set, raster_digest(RASTER))


def test_round_trip(row: PatchRow) -> None:
    stored = from_patch_row(row)
    assert np.array_equal(stored.raster(), RASTER)
    assert np.array_equal(stored.image(), RASTER[:90, :150])
    assert (stored.width, stored.height, stored.fit) == (150, 90, Fit.PAD)


def test_columns_are_what_the_design_says(row: PatchRow) -> None:
    patch_set = prune(RASTER)
    assert row.keep == np.packbits(patch_set.keep).tobytes()
    raw = pa.decompress(row.tiles, decompressed_size=patch_set.tiles.nbytes, codec="zstd")
    assert raw.to_pybytes() == patch_set.tiles.tobytes()
    assert row.tiles[:4] == bytes.fromhex("28b52ffd"), "the magic number of a zstd frame"


@pytest.mark.parametrize(
    "change",
    [
        {"keep": b""},
        {"keep": b"\x00\x00"},
        {"keep": b"\xff\xff"},
        {"tiles": b"no zstd"},
        {"grid_h": 0},
        {"grid_w": 4},
        {"tile": 16},
        {"fit": "stretch"},
        {"method": "conncomp"},
        {"method": "unheard-of"},
        {"threshold": 2.0},
        {"fitted_width": 161},
        {"fitted_height": 0},
    ],
)
def test_columns_that_contradict_are_damage(row: PatchRow, change) -> None:
    with pytest.raises(DamagedError):
        from_patch_row(replace(row, **change))


def test_a_changed_tile_shows_in_the_digest(row: PatchRow) -> None:
    tiles = prune(RASTER).tiles.copy()
    tiles[0, 0, 0, 0] ^= 1
    changed = replace(row, tiles=pa.compress(tiles.tobytes(), codec="zstd", asbytes=True))
    with pytest.raises(DamagedError, match="differs"):
        from_patch_row(changed).raster()
